//! Where the data of a sparse file lies.

use std::{fs::File, io};

use crate::{
    disk::Stat,
    limits::EXTENTS_MAX,
    source::files::read_disk::{ReadDisk, uninterrupted},
};

/// Bytes of one block as `stat` counts them.
const STAT_BLOCK_BYTES: u64 = 512;

/// Returns the data extents of the file, or nothing if it has no holes. Each is an offset and a
/// length.
pub fn data_extents(
    disk: &dyn ReadDisk,
    file: &File,
    stat: &Stat,
) -> io::Result<Option<Vec<(u64, u64)>>> {
    // Only a file that fills fewer blocks than its size needs can have a hole; asking costs nothing
    // for all others.
    if stat.blocks.saturating_mul(STAT_BLOCK_BYTES) >= stat.bytes {
        return Ok(None);
    }
    let mut extents = Vec::new();
    let mut at = 0;
    while at < stat.bytes {
        let Some(start) = uninterrupted(|| disk.next_data(file, at))? else { break };
        if start >= stat.bytes {
            break;
        }
        let end = uninterrupted(|| disk.next_hole(file, start))?.min(stat.bytes);
        if end <= start {
            // The file changes under our hands; what is read will tell.
            break;
        }
        extents.push((start, end - start));
        if extents.len() >= 2 * EXTENTS_MAX {
            close_smallest_holes(&mut extents);
        }
        at = end;
    }
    if extents.len() > EXTENTS_MAX {
        close_smallest_holes(&mut extents);
    }
    Ok((extents != [(0, stat.bytes)]).then_some(extents))
}

/// Joins neighbours until the format can hold the list: the zeros between them are then stored as
/// data.
fn close_smallest_holes(extents: &mut Vec<(u64, u64)>) {
    let hole = |pair: &[(u64, u64)]| pair[1].0 - (pair[0].0 + pair[0].1);
    let mut holes: Vec<u64> = extents.windows(2).map(hole).collect();
    let surplus = extents.len().saturating_sub(EXTENTS_MAX);
    if surplus == 0 {
        return;
    }
    let (_, largest_closed, _) = holes.select_nth_unstable(surplus - 1);
    let closed = *largest_closed;
    let mut joined: Vec<(u64, u64)> = Vec::with_capacity(EXTENTS_MAX);
    for &(start, bytes) in extents.iter() {
        match joined.last_mut() {
            Some(last) if start - (last.0 + last.1) <= closed => last.1 = start + bytes - last.0,
            _ => joined.push((start, bytes)),
        }
    }
    *extents = joined;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_holes_are_closed_first() {
        // Every second hole is one byte long, the others a thousand.
        let mut extents = Vec::new();
        let mut at = 0;
        for number in 0..EXTENTS_MAX as u64 * 2 {
            extents.push((at, 10));
            at += 10 + if number % 2 == 0 { 1 } else { 1000 };
        }
        let end = extents[extents.len() - 1];

        close_smallest_holes(&mut extents);

        assert_eq!(extents.len(), EXTENTS_MAX);
        assert!(extents.iter().all(|(_, bytes)| *bytes == 21));
        assert_eq!(extents[EXTENTS_MAX - 1].0 + 21, end.0 + end.1);
    }
}
