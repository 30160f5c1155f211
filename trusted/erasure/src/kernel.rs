//! The product of a small matrix with rows of bytes, and the choice among its forms.
//!
//! Invariant: every form gives the same bytes; a form is used only on a processor that has its
//! instructions, which the processor itself is asked. This folder is the only place of the crate
//! with `unsafe`.

mod coefficients;
mod pass;
mod portable;
#[cfg(target_arch = "x86_64")]
mod processor;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use coefficients::Coefficients;

use pass::{Lanes, Pass};

/// Vector instructions that the caller believes the processor to have.
///
/// They are passed in because a trusted program must not ask for them everywhere: where none are
/// named, nothing is asked of the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// AVX2.
    pub avx2: bool,
    /// GFNI, in the form for the registers of AVX2 or AVX-512, whichever else is named.
    pub gfni: bool,
    /// AVX-512 F, BW and VL.
    pub avx512: bool,
}

impl Features {
    /// All that this crate can make use of.
    pub const ALL: Self = Self {
        avx2: true,
        gfni: true,
        avx512: true,
    };

    /// No vector instructions beyond those that every processor of its architecture has.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            avx2: false,
            gfni: false,
            avx512: false,
        }
    }
}

/// A form of the product that this processor can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Form);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    GfniAvx2,
    #[cfg(target_arch = "x86_64")]
    GfniAvx512,
}

impl Kernel {
    /// The form that needs no vector instructions beyond those that every processor of its
    /// architecture has.
    pub const PORTABLE: Self = Self(Form::Portable);

    /// The names of all forms, the fastest first.
    pub const NAMES: [&str; 4] = ["gfni-avx512", "gfni-avx2", "avx2", "portable"];

    /// The forms among those that `features` names and the processor has, the fastest first.
    pub fn supported(features: Features) -> impl Iterator<Item = Self> {
        [
            Self::gfni_avx512(features),
            Self::gfni_avx2(features),
            Self::avx2(features),
            Some(Self::PORTABLE),
        ]
        .into_iter()
        .flatten()
    }

    /// The fastest form among those that `features` names and the processor has.
    #[must_use]
    pub fn fastest(features: Features) -> Self {
        Self::supported(features).next().unwrap_or(Self::PORTABLE)
    }

    /// The form called `name`, one of [`Self::NAMES`], if this processor has it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::supported(Features::ALL).find(|kernel| kernel.name() == name)
    }

    /// Its name, as [`Self::named`] takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Form::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Form::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Form::GfniAvx2 => "gfni-avx2",
            #[cfg(target_arch = "x86_64")]
            Form::GfniAvx512 => "gfni-avx512",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn avx2(features: Features) -> Option<Self> {
        (features.avx2 && processor::has_avx2()).then_some(Self(Form::Avx2))
    }

    #[cfg(target_arch = "x86_64")]
    fn gfni_avx2(features: Features) -> Option<Self> {
        (features.avx2 && features.gfni && processor::has_gfni_avx2())
            .then_some(Self(Form::GfniAvx2))
    }

    #[cfg(target_arch = "x86_64")]
    fn gfni_avx512(features: Features) -> Option<Self> {
        (features.avx512 && features.gfni && processor::has_gfni_avx512())
            .then_some(Self(Form::GfniAvx512))
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn avx2(_: Features) -> Option<Self> {
        None
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn gfni_avx2(_: Features) -> Option<Self> {
        None
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn gfni_avx512(_: Features) -> Option<Self> {
        None
    }

    /// Runs `pass` in this form.
    #[allow(unsafe_code)]
    fn run(self, pass: Pass<'_, '_, '_>) {
        match self.0 {
            Form::Portable => portable::run(pass),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this form is made by `avx2` alone, which asked the processor.
            Form::Avx2 => unsafe { x86::run_avx2(pass) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this form is made by `gfni_avx2` alone, which asked the processor.
            Form::GfniAvx2 => unsafe { x86::run_gfni_avx2(pass) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this form is made by `gfni_avx512` alone, which asked the processor.
            Form::GfniAvx512 => unsafe { x86::run_gfni_avx512(pass) },
        }
    }

    /// How many words this form keeps of a coefficient.
    fn words(self) -> usize {
        match self.0 {
            Form::Portable => portable::Portable::WORDS,
            #[cfg(target_arch = "x86_64")]
            Form::Avx2 => x86::Avx2::WORDS,
            #[cfg(target_arch = "x86_64")]
            Form::GfniAvx2 => x86::GfniAvx2::WORDS,
            #[cfg(target_arch = "x86_64")]
            Form::GfniAvx512 => x86::GfniAvx512::WORDS,
        }
    }

    /// What this form keeps of a coefficient, in the first of these words.
    fn table(self, coefficient: u8) -> pass::Table {
        match self.0 {
            Form::Portable => portable::table(coefficient),
            #[cfg(target_arch = "x86_64")]
            Form::Avx2 => x86::table_of_halves(coefficient),
            #[cfg(target_arch = "x86_64")]
            Form::GfniAvx2 | Form::GfniAvx512 => x86::table_of_bits(coefficient),
        }
    }
}
