//! Encrypted vectors: a publication is a point and each bound of a subscription a half-space, both multiplied by secret
//! matrices, so that whoever matches sees only on which side the point lies.
//!
//! Invariant: the scalar product of an encrypted point and an encrypted half-space has the sign of the plain one. Values
//! lie on a grid, and each bound is moved half a step outwards, so that rounding never decides.
//! Source: ASPE in Choi et al., DEBS '10, the baseline of SCBR. Encryption of publications is outside the clock; that of a
//! subscription is part of its insertion.

use std::collections::HashMap;

use pulp::Arch;
use sc_matching::{Constraint, Predicate, Publication, Subscription, Value, ValueRef};

use crate::matching::engine::{Engine, Pass, Publications, Sample};
use crate::matching::language::Unsupported;
use crate::random::Random;

/// Half a step of the grid: prices have two digits after the point, all others none.
const HALF_STEP: f64 = 0.005;
/// Components beside the attributes: a constant, and a random one that is zero in every half-space.
const BESIDE: usize = 2;
/// Reflections that a matrix is a product of.
const REFLECTIONS: usize = 4;

pub(crate) struct Aspe {
    key: Key,
    classes: Vec<Class>,
    /// The class and row of each id. Ids are dense here; elsewhere this would be a hash table.
    places: Vec<Option<(u32, u32)>>,
    random: Random,
}

/// Rows with the same number of half-spaces.
#[derive(Default)]
struct Class {
    ids: Vec<u32>,
    /// The half-spaces of each row, one after another.
    vectors: Vec<f64>,
}

/// What those who publish and subscribe share.
struct Key {
    components: HashMap<Box<str>, usize>,
    /// The greatest absolute value of each component.
    scales: Vec<f64>,
    /// Numbers that stand for texts.
    texts: HashMap<Box<str>, f64>,
    /// Unit vectors, each of which stands for the reflection at its plane.
    reflections: Vec<Vec<f64>>,
    stretch: Vec<f64>,
}

impl Key {
    fn new(publications: &[Publication]) -> Self {
        let mut key = Self {
            components: HashMap::new(),
            scales: Vec::new(),
            texts: HashMap::new(),
            reflections: Vec::new(),
            stretch: Vec::new(),
        };
        for (name, value) in publications.iter().flat_map(|own| own.attributes()) {
            let number = key.number(value.borrow());
            let next = key.components.len();
            let component = *key.components.entry(name.as_str().into()).or_insert(next);
            key.scales.resize(key.components.len(), 1.0);
            key.scales[component] = key.scales[component].max(number.abs());
        }
        let mut random = Random::new(41);
        let dimension = key.dimension();
        key.reflections = (0..REFLECTIONS)
            .map(|_| unit(dimension, &mut random))
            .collect();
        key.stretch = (0..dimension).map(|_| random.between(0.5, 2.0)).collect();
        key
    }

    fn dimension(&self) -> usize {
        self.scales.len() + BESIDE
    }

    /// A number as it is, a text as the number that it gets here.
    fn number(&mut self, value: ValueRef<'_>) -> f64 {
        match value {
            ValueRef::Number(number) => number.floor_to_double(),
            ValueRef::Text(text) => {
                let next = self.texts.len() as f64;
                *self.texts.entry(text.into()).or_insert(next)
            }
        }
    }

    /// The sign and the bound of each half-space that a predicate makes.
    fn bounds(&mut self, predicate: &Predicate) -> Result<Vec<(f64, f64)>, Unsupported> {
        let step = 2.0 * HALF_STEP;
        Ok(match predicate {
            Predicate::Equal(value) => {
                let bound = self.number(value.borrow());
                vec![(1.0, bound), (-1.0, bound)]
            }
            Predicate::GreaterOrEqual(Value::Number(bound)) => vec![(1.0, bound.floor_to_double())],
            Predicate::Greater(Value::Number(bound)) => vec![(1.0, bound.floor_to_double() + step)],
            Predicate::LessOrEqual(Value::Number(bound)) => vec![(-1.0, bound.floor_to_double())],
            Predicate::Less(Value::Number(bound)) => vec![(-1.0, bound.floor_to_double() - step)],
            _ => return Err(Unsupported::because("a constraint that is no half-space")),
        })
    }

    /// Multiplies by the matrix for points, M.
    fn encrypt_point(&self, point: &mut [f64], random: &mut Random) {
        let length = random.between(0.5, 2.0);
        let stretched = point.iter_mut().zip(&self.stretch);
        stretched.for_each(|(own, stretch)| *own *= stretch * length);
        self.reflect(point);
    }

    /// Multiplies by the matrix for half-spaces, the transposed inverse of M.
    fn encrypt_half_space(&self, vector: &mut [f64], random: &mut Random) {
        let length = random.between(0.5, 2.0);
        let stretched = vector.iter_mut().zip(&self.stretch);
        stretched.for_each(|(own, stretch)| *own *= length / stretch);
        self.reflect(vector);
    }

    fn reflect(&self, vector: &mut [f64]) {
        for unit in &self.reflections {
            let twice = 2.0 * product(vector, unit);
            vector
                .iter_mut()
                .zip(unit)
                .for_each(|(own, unit)| *own -= twice * unit);
        }
    }

    /// The encrypted point of a publication.
    fn point(
        &self,
        publication: &Publication,
        random: &mut Random,
    ) -> Result<Vec<f64>, Unsupported> {
        if publication.attributes().len() != self.components.len() {
            return Err(Unsupported::because("a point has to have every attribute"));
        }
        let attributes = self.scales.len();
        let mut point = vec![0.0; self.dimension()];
        for (name, value) in publication.attributes() {
            let component = self.components.get(name.as_str());
            let component = *component.ok_or_else(unknown_attribute)?;
            point[component] = match value {
                Value::Number(number) => number.floor_to_double(),
                Value::Text(text) => self.texts.get(&**text).copied().unwrap_or(-1.0),
            } / self.scales[component];
        }
        point[attributes] = 1.0;
        point[attributes + 1] = random.between(-1.0, 1.0);
        self.encrypt_point(&mut point, random);
        Ok(point)
    }

    /// The encrypted half-space above (`sign` 1) or below (-1) a bound.
    fn half_space(&self, component: usize, sign: f64, bound: f64, random: &mut Random) -> Vec<f64> {
        let mut vector = vec![0.0; self.dimension()];
        vector[component] = sign;
        vector[self.scales.len()] = (HALF_STEP - sign * bound) / self.scales[component];
        self.encrypt_half_space(&mut vector, random);
        vector
    }
}

fn unknown_attribute() -> Unsupported {
    Unsupported::because("an attribute that no publication had when keys were made")
}

fn unit(dimension: usize, random: &mut Random) -> Vec<f64> {
    let vector: Vec<f64> = (0..dimension).map(|_| random.between(-1.0, 1.0)).collect();
    let length = product(&vector, &vector).sqrt();
    vector.into_iter().map(|own| own / length).collect()
}

#[inline(always)]
fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

impl Aspe {
    /// Makes keys for publications like those of the sample.
    pub(crate) fn new(sample: &Sample<'_>) -> Result<Self, Unsupported> {
        Ok(Self {
            key: Key::new(sample.publications),
            classes: Vec::new(),
            places: Vec::new(),
            random: Random::new(42),
        })
    }

    /// The half-spaces of a subscription, one after another, those of equalities first.
    fn half_spaces(&mut self, subscription: &Subscription) -> Result<Vec<f64>, Unsupported> {
        let mut constraints: Vec<&Constraint> = subscription.constraints().iter().collect();
        constraints.sort_by_key(|own| !matches!(own.predicate(), Predicate::Equal(_)));
        let mut vectors = Vec::new();
        for constraint in constraints {
            let component = self.key.components.get(constraint.name().as_str());
            let component = *component.ok_or_else(unknown_attribute)?;
            for (sign, bound) in self.key.bounds(constraint.predicate())? {
                let vector = self
                    .key
                    .half_space(component, sign, bound, &mut self.random);
                vectors.extend(vector);
            }
        }
        Ok(vectors)
    }
}

impl Engine for Aspe {
    fn insert(&mut self, id: u32, subscription: &Subscription) -> Result<(), Unsupported> {
        let vectors = self.half_spaces(subscription)?;
        let number = vectors.len() / self.key.dimension();
        if self.classes.len() <= number {
            self.classes.resize_with(number + 1, Class::default);
        }
        let class = &mut self.classes[number];
        class.vectors.extend(vectors);
        class.ids.push(id);
        if self.places.len() <= id as usize {
            self.places.resize(id as usize + 1, None);
        }
        self.places[id as usize] = Some((number as u32, class.ids.len() as u32 - 1));
        Ok(())
    }

    fn remove(&mut self, id: u32) -> Result<bool, Unsupported> {
        let place = self.places.get_mut(id as usize).and_then(Option::take);
        let Some((number, row)) = place else {
            return Ok(false);
        };
        let stride = number as usize * self.key.dimension();
        let class = &mut self.classes[number as usize];
        let (last, row) = (class.ids.len() - 1, row as usize);
        class.vectors.copy_within(last * stride.., row * stride);
        class.vectors.truncate(last * stride);
        class.ids.swap_remove(row);
        if let Some(moved) = class.ids.get(row) {
            self.places[*moved as usize] = Some((number, row as u32));
        }
        Ok(true)
    }

    fn pass<'e>(
        &'e self,
        publications: &'e Publications<'e>,
    ) -> Result<Box<dyn Pass + 'e>, Unsupported> {
        let mut random = Random::new(43);
        let list = publications.list.iter();
        let points = list.map(|publication| self.key.point(publication, &mut random));
        Ok(Box::new(Multiplying {
            points: points.collect::<Result<_, _>>()?,
            classes: &self.classes,
            dimension: self.key.dimension(),
            arch: Arch::new(),
        }))
    }
}

struct Multiplying<'e> {
    points: Vec<Vec<f64>>,
    classes: &'e [Class],
    dimension: usize,
    arch: Arch,
}

impl Pass for Multiplying<'_> {
    fn ids(&mut self, at: usize, ids: &mut Vec<u32>) {
        ids.clear();
        let (point, dimension) = (&self.points[at], self.dimension);
        let inside = |space: &[f64]| product(space, point) >= 0.0;
        for (number, class) in self.classes.iter().enumerate().skip(1) {
            let rows = class.vectors.chunks_exact(number * dimension);
            self.arch.dispatch(
                #[inline(always)]
                || {
                    for (row, id) in rows.zip(&class.ids) {
                        if row.chunks_exact(dimension).all(inside) {
                            ids.push(*id);
                        }
                    }
                },
            );
        }
    }
}
