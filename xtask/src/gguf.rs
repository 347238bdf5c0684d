//! Writes GGUF files of version 3, tensor by tensor, so that a model is never held in memory as a whole. The format is
//! described in ggml's `docs/gguf.md`. Reading is candle's (`candle_core::quantized::gguf_file::Content`).

use anyhow::{Context, Result, bail, ensure};
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use std::io::Write;

const MAGIC: u32 = 0x4655_4747;
const VERSION: u32 = 3;
const ALIGNMENT: u64 = 32;

/// One tensor of the file's directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub name: String,
    /// Outermost dimension first: `[rows, columns]`. The file itself stores them the other way round.
    pub shape: Vec<usize>,
    pub dtype: GgmlDType,
}

impl Entry {
    /// Columns of the innermost dimension.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Everything but the innermost dimension.
    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// Bytes of the tensor's data without padding.
    ///
    /// # Errors
    /// Where the columns do not fill whole blocks of the type.
    pub fn bytes(&self) -> Result<u64> {
        let block = self.dtype.block_size();
        ensure!(
            self.columns().is_multiple_of(block),
            "{}: {} columns do not fill blocks of {block}",
            self.name,
            self.columns()
        );
        Ok((self.rows() * (self.columns() / block) * self.dtype.type_size()) as u64)
    }
}

/// A file being written: the directory first, then the data of each tensor in the directory's order.
pub struct Writer<W: Write> {
    out: W,
    pending: std::vec::IntoIter<(String, u64)>,
}

impl<W: Write> Writer<W> {
    /// Writes header, metadata and directory.
    ///
    /// # Errors
    /// On metadata that GGUF cannot hold (mixed or empty arrays), on shapes that do not fit their type, and on I/O.
    pub fn start(mut out: W, metadata: &[(String, Value)], entries: &[Entry]) -> Result<Self> {
        let mut head = Vec::new();
        head.extend(MAGIC.to_le_bytes());
        head.extend(VERSION.to_le_bytes());
        head.extend((entries.len() as u64).to_le_bytes());
        head.extend((metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            put_string(&mut head, key);
            head.extend(type_code(value).to_le_bytes());
            put_value(&mut head, value).with_context(|| format!("metadata {key}"))?;
        }
        let mut offset = 0u64;
        let mut sizes = Vec::with_capacity(entries.len());
        for entry in entries {
            put_string(&mut head, &entry.name);
            head.extend((entry.shape.len() as u32).to_le_bytes());
            for dimension in entry.shape.iter().rev() {
                head.extend((*dimension as u64).to_le_bytes());
            }
            head.extend(dtype_code(entry.dtype).to_le_bytes());
            head.extend(offset.to_le_bytes());
            let bytes = entry.bytes()?;
            offset += bytes.next_multiple_of(ALIGNMENT);
            sizes.push((entry.name.clone(), bytes));
        }
        head.resize(head.len().next_multiple_of(ALIGNMENT as usize), 0);
        out.write_all(&head)?;
        Ok(Self { out, pending: sizes.into_iter() })
    }

    /// Writes the next tensor of the directory; `data` writes it into the given sink.
    ///
    /// # Errors
    /// When `data` fails or writes another number of bytes than the directory says.
    pub fn tensor(&mut self, data: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        let Some((name, bytes)) = self.pending.next() else { bail!("more tensors than the directory names") };
        let mut sink = Counted { out: &mut self.out, written: 0 };
        data(&mut sink).with_context(|| name.clone())?;
        let written = sink.written;
        ensure!(written == bytes, "{name}: {written} bytes written, the directory says {bytes}");
        let padding = bytes.next_multiple_of(ALIGNMENT) - bytes;
        self.out.write_all(&vec![0; padding as usize])?;
        Ok(())
    }

    /// Flushes, once every tensor has been written.
    ///
    /// # Errors
    /// When tensors are missing, and on I/O.
    pub fn finish(mut self) -> Result<()> {
        if let Some((name, _)) = self.pending.next() {
            bail!("{name} has not been written");
        }
        Ok(self.out.flush()?)
    }
}

/// Counts what passes through.
struct Counted<'a, W: Write> {
    out: &'a mut W,
    written: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) -> Result<()> {
    match value {
        Value::U8(v) => out.push(*v),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push(u8::from(*v)),
        Value::String(v) => put_string(out, v),
        Value::Array(values) => {
            let Some(first) = values.first() else { bail!("an empty array has no type") };
            let code = type_code(first);
            ensure!(values.iter().all(|value| type_code(value) == code), "an array of mixed types");
            out.extend(code.to_le_bytes());
            out.extend((values.len() as u64).to_le_bytes());
            for value in values {
                put_value(out, value)?;
            }
        }
    }
    Ok(())
}

/// GGUF's number for a metadata type.
fn type_code(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

/// ggml's number for a tensor type.
fn dtype_code(dtype: GgmlDType) -> u32 {
    match dtype {
        GgmlDType::F32 => 0,
        GgmlDType::F16 => 1,
        GgmlDType::Q4_0 => 2,
        GgmlDType::Q4_1 => 3,
        GgmlDType::Q5_0 => 6,
        GgmlDType::Q5_1 => 7,
        GgmlDType::Q8_0 => 8,
        GgmlDType::Q8_1 => 9,
        GgmlDType::Q2K => 10,
        GgmlDType::Q3K => 11,
        GgmlDType::Q4K => 12,
        GgmlDType::Q5K => 13,
        GgmlDType::Q6K => 14,
        GgmlDType::Q8K => 15,
        GgmlDType::BF16 => 30,
    }
}
