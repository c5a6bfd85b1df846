//! A directory in memory that can fail, and be cut off from power, at any operation.

use super::files::Files;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(test)]
const SECTOR: usize = 512;

/// What happens at an operation.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(test), allow(dead_code, reason = "fuzzing lets nothing fail"))]
pub(super) enum Fault {
    /// The power goes: a write is done in part, and nothing works any more.
    Power { at: usize },
    /// So many operations fail for want of space; a write is done in part.
    Full { at: usize, count: usize },
}

#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    names: BTreeMap<String, usize>,
    safe_names: BTreeMap<String, usize>,
    files: Vec<Content>,
    operations: usize,
    fault: Option<Fault>,
    dead: bool,
    random: u64,
}

#[derive(Debug, Default, Clone)]
struct Content {
    now: Vec<u8>,
    /// As of the last sync.
    safe: Vec<u8>,
}

impl Inner {
    fn random(&mut self) -> u64 {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Counts an operation that changes something; says whether it fails.
    fn step(&mut self) -> Result<(), io::Error> {
        let at = self.operations;
        self.operations += 1;
        match self.fault {
            Some(Fault::Power { at: fatal }) if at >= fatal => {
                self.dead = true;
                Err(ErrorKind::Other.into())
            }
            Some(Fault::Full { at: from, count }) if (from..from + count).contains(&at) => {
                Err(ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut Content> {
        match self.names.get(name) {
            Some(at) if !self.dead => Ok(&mut self.files[*at]),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }
}

impl Memory {
    #[cfg(test)]
    pub(super) fn failing(fault: Fault, seed: u64) -> Self {
        let memory = Self::default();
        {
            let mut inner = memory.inner();
            inner.fault = Some(fault);
            inner.random = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
        memory
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether the fault came to pass.
    #[cfg(test)]
    pub(super) fn has_failed(&self) -> bool {
        let inner = self.inner();
        match inner.fault {
            Some(Fault::Power { .. }) => inner.dead,
            Some(Fault::Full { at, .. }) => inner.operations > at,
            None => false,
        }
    }

    /// Returns what is left after the power went: what was synced, and any part of the rest.
    #[cfg(test)]
    pub(super) fn after_power_loss(&self) -> Self {
        let mut inner = self.inner();
        let mut names = inner.safe_names.clone();
        let live = inner.names.clone();
        let all: Vec<String> = names.keys().chain(live.keys()).cloned().collect();
        for name in all {
            if inner.random().is_multiple_of(2) {
                match live.get(&name) {
                    Some(file) => drop(names.insert(name, *file)),
                    None => drop(names.remove(&name)),
                }
            }
        }
        let mut files = inner.files.clone();
        for content in &mut files {
            let (now, safe) = (content.now.clone(), content.safe.clone());
            let length = match inner.random() % 3 {
                0 => now.len(),
                1 => safe.len(),
                _ => {
                    let (low, high) = (now.len().min(safe.len()), now.len().max(safe.len()));
                    low + inner.random() as usize % (high - low + 1)
                }
            };
            let mut left = vec![0; length];
            for (at, sector) in left.chunks_mut(SECTOR).enumerate() {
                let source = if inner.random().is_multiple_of(2) {
                    &now
                } else {
                    &safe
                };
                let from = source.len().min(at * SECTOR);
                let from = &source[from..source.len().min(from + sector.len())];
                sector[..from.len()].copy_from_slice(from);
            }
            *content = Content {
                now: left.clone(),
                safe: left,
            };
        }
        Self(Mutex::new(Inner {
            safe_names: names.clone(),
            names,
            files,
            operations: 0,
            fault: None,
            dead: false,
            random: inner.random,
        }))
    }
}

impl Files for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.inner().names.keys().cloned().collect())
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(self.inner().file(name)?.now.len() as u64)
    }

    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut inner = self.inner();
        let bytes = &inner.file(name)?.now;
        let from = bytes.len().min(offset as usize);
        Ok(bytes[from..bytes.len().min(from + length)].to_vec())
    }

    fn create(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        if let Some(at) = inner.names.get(name).copied() {
            inner.files[at].now.clear();
        } else {
            let at = inner.files.len();
            inner.files.push(Content::default());
            inner.names.insert(name.to_owned(), at);
        }
        Ok(())
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let result = inner.step();
        let written = match &result {
            Ok(()) => bytes.len(),
            Err(_) => inner.random() as usize % (bytes.len() + 1),
        };
        if let Some(at) = inner.names.get(name).copied() {
            let (offset, file) = (offset as usize, &mut inner.files[at].now);
            file.resize(file.len().max(offset + written), 0);
            file[offset..offset + written].copy_from_slice(&bytes[..written]);
        }
        result
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        inner.file(name)?.now.truncate(length as usize);
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        let file = inner.file(name)?;
        file.safe = file.now.clone();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        inner.names.remove(name);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step()?;
        inner.safe_names = inner.names.clone();
        Ok(())
    }
}
