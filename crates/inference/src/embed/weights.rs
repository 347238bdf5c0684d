//! Tensors of a safetensors file, read one by one and checked against the shape the model asks for.
//!
//! Files are read, not mapped: each tensor is converted while it streams in, so that no weight is held twice.

use crate::ModelError;
use crate::decoder::shards::weight_files;
use candle_core::{Device, Tensor};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The format's own bound (safetensors 0.8, `MAX_HEADER_SIZE`).
const MOST_HEADER_BYTES: u64 = 100_000_000;
const BLOCK: usize = 1 << 20;

/// Where one tensor lies.
struct Place {
    path: PathBuf,
    start: u64,
    info: TensorInfo,
}

/// The tensors of one model.
pub(super) struct Weights {
    files: BTreeSet<PathBuf>,
    places: HashMap<String, Place>,
}

impl Weights {
    /// # Errors
    /// [`ModelError::Unsupported`] where the weights are of another format, [`ModelError::Damaged`] where there are
    /// none or a header does not fit its file.
    pub fn open(directory: &Path) -> Result<Self, ModelError> {
        let mut weights = Self { files: BTreeSet::new(), places: HashMap::new() };
        for path in weight_files(directory)? {
            let (start, metadata) = read_header(&path)?;
            for (name, info) in metadata.tensors() {
                let place = Place { path: path.clone(), start, info: info.clone() };
                weights.places.insert(name, place);
            }
            weights.files.insert(path);
        }
        Ok(weights)
    }

    /// Adds the bytes of every file to the fingerprint.
    pub fn hash_into(&self, hash: &mut Sha256) -> Result<(), ModelError> {
        let mut block = vec![0_u8; BLOCK];
        for path in &self.files {
            let mut file = File::open(path).map_err(ModelError::io(path))?;
            loop {
                let read = file.read(&mut block).map_err(ModelError::io(path))?;
                if read == 0 {
                    break;
                }
                hash.update(block.get(..read).unwrap_or_default());
            }
        }
        Ok(())
    }

    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The tensor's shape, `None` where there is no such tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.places.get(name).map(|p| p.info.shape.as_slice())
    }

    /// As f32.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let numbers = self.numbers(name, shape)?;
        Tensor::from_vec(numbers, shape, &Device::Cpu).map_err(|e| ModelError::damaged(format!("{name} ({e})")))
    }

    /// As the file has it, where it is a float of at most 32 bits: for large tables of which few rows are used.
    pub fn table(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let place = self.place(name, shape)?;
        let tensor = match place.info.dtype {
            Dtype::F16 => Tensor::from_vec(place.read(f16::from_le_bytes)?, shape, &Device::Cpu),
            Dtype::BF16 => Tensor::from_vec(place.read(bf16::from_le_bytes)?, shape, &Device::Cpu),
            _ => return self.f32(name, shape),
        };
        tensor.map_err(|e| ModelError::damaged(format!("{name} ({e})")))
    }

    /// Any float or small integer type, as f32, row by row.
    pub fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let place = self.place(name, shape)?;
        match place.info.dtype {
            Dtype::F32 => place.read(f32::from_le_bytes),
            Dtype::F16 => place.read(|b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => place.read(|b| bf16::from_le_bytes(b).to_f32()),
            Dtype::F64 => place.read(|b| f64::from_le_bytes(b) as f32),
            Dtype::I8 => place.read(|b| f32::from(i8::from_le_bytes(b))),
            other => Err(ModelError::unsupported(format!("{name}의 자료형 {other:?}"))),
        }
    }

    /// Whole numbers that are places in another table.
    pub fn indices(&self, name: &str, shape: &[usize]) -> Result<Vec<u32>, ModelError> {
        let place = self.place(name, shape)?;
        let wide: Vec<i64> = match place.info.dtype {
            Dtype::I64 => place.read(i64::from_le_bytes)?,
            Dtype::I32 => place.read(|b| i64::from(i32::from_le_bytes(b)))?,
            Dtype::U32 => place.read(|b| i64::from(u32::from_le_bytes(b)))?,
            other => return Err(ModelError::unsupported(format!("{name}의 자료형 {other:?}"))),
        };
        let narrow = wide.into_iter().map(u32::try_from).collect::<Result<_, _>>();
        narrow.map_err(|_| ModelError::damaged(format!("{name} (음수 또는 너무 큰 번호)")))
    }

    fn place(&self, name: &str, shape: &[usize]) -> Result<&Place, ModelError> {
        let place = self.places.get(name).ok_or_else(|| ModelError::damaged(format!("가중치 {name} 없음")))?;
        if place.info.shape != shape {
            let found = &place.info.shape;
            return Err(ModelError::damaged(format!("가중치 {name}의 크기 {found:?} (설정은 {shape:?})")));
        }
        Ok(place)
    }
}

impl Place {
    /// The elements, each made from `N` little-endian bytes.
    fn read<T, const N: usize>(&self, make: impl Fn([u8; N]) -> T) -> Result<Vec<T>, ModelError> {
        let mut file = File::open(&self.path).map_err(ModelError::io(&self.path))?;
        let (from, to) = self.info.data_offsets;
        file.seek(SeekFrom::Start(self.start + from as u64)).map_err(ModelError::io(&self.path))?;
        let mut left = to.saturating_sub(from);
        let mut elements = Vec::with_capacity(left / N);
        let mut block = vec![0_u8; BLOCK / N * N];
        while left > 0 {
            let block = block.get_mut(..left.min(BLOCK / N * N)).unwrap_or_default();
            file.read_exact(block).map_err(ModelError::io(&self.path))?;
            elements.extend(block.as_chunks::<N>().0.iter().map(|bytes| make(*bytes)));
            left -= block.len();
        }
        Ok(elements)
    }
}

/// Offset of the data and what lies there, checked against the file's length.
fn read_header(path: &Path) -> Result<(u64, Metadata), ModelError> {
    let damaged = |why: &str| ModelError::damaged(format!("{} ({why})", path.display()));
    let mut file = File::open(path).map_err(ModelError::io(path))?;
    let length = file.metadata().map_err(ModelError::io(path))?.len();
    let mut size = [0_u8; 8];
    if length < 8 {
        return Err(damaged("너무 짧음"));
    }
    file.read_exact(&mut size).map_err(ModelError::io(path))?;
    let size = u64::from_le_bytes(size);
    if size > MOST_HEADER_BYTES || size > length - 8 {
        return Err(damaged("머리말 길이"));
    }
    let mut header = vec![0_u8; usize::try_from(size).map_err(|_| damaged("머리말 길이"))?];
    file.read_exact(&mut header).map_err(ModelError::io(path))?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| damaged(&e.to_string()))?;
    if metadata.data_len() as u64 != length - 8 - size {
        return Err(damaged("길이가 머리말과 다름"));
    }
    Ok((8 + size, metadata))
}
