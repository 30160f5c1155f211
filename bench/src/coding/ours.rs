//! Our own codes, as the coding engine uses them.

use sc_erasure::{Code, Decoder, Kernel, Matrix, Recoder, Redundancy};

use super::engine::{Block, CodeName, Engine, readable, writable};

/// A code and the buffers it works on.
pub(super) struct Ours {
    code: Code,
    decoder: Decoder,
    recoder: Option<Recoder>,
    coded: Vec<Vec<u8>>,
    recoded: Vec<Vec<u8>>,
    rebuilt: Vec<u8>,
    /// Without those parts of the block that did not get lost, which lie there from the beginning.
    lost_bytes: usize,
}

impl Ours {
    pub(super) fn new(kernel: Kernel, block: &Block) -> anyhow::Result<Self> {
        let data = u8::try_from(block.code.data())?;
        let redundancy = redundancy(block.code)?;
        let code = Code::new(redundancy, kernel);
        // Without the first pieces, as many as there is parity.
        let first = redundancy.total() - data;
        let available: Vec<_> = (first..redundancy.total())
            .map(|index| (index, None))
            .collect();
        let decoder = Decoder::new(&code, &available)?;
        let scalars = Matrix::new(usize::from(data), (1..=data).map(|n| n * 7).collect());
        let piece_bytes = block.piece_bytes();
        let lost_bytes = block.lost().len().min(block.bytes);
        let mut rebuilt = block.block().to_vec();
        rebuilt[..lost_bytes].fill(0);
        Ok(Self {
            recoder: block
                .code
                .parity()
                .is_none()
                .then(|| Recoder::new(kernel, scalars)),
            coded: vec![vec![0; piece_bytes]; code.coded().len()],
            recoded: vec![vec![0; piece_bytes]],
            code,
            decoder,
            rebuilt,
            lost_bytes,
        })
    }
}

fn redundancy(code: CodeName) -> anyhow::Result<Redundancy> {
    let data = u8::try_from(code.data())?;
    Ok(match code.parity() {
        Some(parity) => Redundancy::reed_solomon(data, u8::try_from(parity)?)?,
        None => Redundancy::rlnc(data, data, 1, true)?,
    })
}

impl Engine for Ours {
    fn encode(&mut self, block: &Block) -> anyhow::Result<()> {
        let mut coded = writable(&mut self.coded);
        self.code.encode_coded(block.block(), &mut coded);
        Ok(())
    }

    fn parity(&self) -> Option<&[Vec<u8>]> {
        self.recoder.is_none().then_some(&self.coded)
    }

    fn decode(&mut self, block: &Block) -> anyhow::Result<()> {
        let mut pieces = match block.code.parity() {
            Some(parity) => block.pieces().split_off(parity),
            None => Vec::new(),
        };
        pieces.extend(readable(&self.coded));
        self.decoder.decode_lost(&pieces, &mut self.rebuilt);
        Ok(())
    }

    fn rebuilt(&self) -> Vec<u8> {
        self.rebuilt[..self.lost_bytes].to_vec()
    }

    fn recode(&mut self) -> anyhow::Result<bool> {
        let Some(recoder) = &self.recoder else {
            return Ok(false);
        };
        recoder.recode(&readable(&self.coded), &mut writable(&mut self.recoded));
        Ok(true)
    }
}
