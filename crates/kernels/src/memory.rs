//! Zeroed, page-aligned memory for packed weights. Pages are asked for as huge ones: a pass over the weights touches
//! each page once, and the small ones cost a tenth of the bandwidth in address translation.

use memmap2::MmapMut;
use std::io;

/// A run of bytes aligned to at least 64.
pub struct Memory {
    map: Option<MmapMut>,
}

impl Memory {
    /// `len` zero bytes; nothing is resident before it is written.
    ///
    /// # Errors
    /// The system refuses the memory.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        if len == 0 {
            return Ok(Self { map: None });
        }
        let map = MmapMut::map_anon(len)?;
        // Only advice: without huge pages everything still works.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self { map: Some(map) })
    }

    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&[])
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.map.as_deref_mut().unwrap_or(&mut [])
    }
}
