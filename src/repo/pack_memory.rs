//! Memory for packs in the making: never more than a few of them, and used again.
//!
//! A pack lies in one piece of memory from the first blob on. Workers fill parts of it without
//! waiting for each other, and it is written as it lies. Memory that is touched for the first time
//! costs the kernel more than what we write there costs us: sealed blobs in allocations of their
//! own took a tenth of the time of a first backup.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;

use crate::limits::PACK_BYTES_TARGET;

/// Packs in memory at a time: one that is being filled, one that is being written, and one that
/// waits for its sync. Whoever would begin another waits, whatever the number of threads.
pub const PACKS_MAX: usize = 3;

const ROOM_BYTES: usize = PACK_BYTES_TARGET as usize;

/// Lends memory to packs.
#[derive(Default)]
pub struct PackMemory {
    state: Mutex<State>,
    came_back: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<BytesMut>,
    lent: usize,
}

/// The memory of one pack, which goes back when this is dropped.
pub struct PackRoom {
    from: Arc<PackMemory>,
    /// What was cut off and joined again, from the beginning on.
    front: BytesMut,
    /// What was not cut off yet.
    rest: BytesMut,
}

impl PackMemory {
    /// Lends room for one pack; waits where there are as many packs as there may be.
    pub fn lend(self: &Arc<Self>) -> PackRoom {
        let mut state = self.lock();
        while state.lent == PACKS_MAX {
            state = self.came_back.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.lent += 1;
        let rest = state.idle.pop();
        drop(state);
        // Zeros that nobody has touched take no memory yet.
        let rest = rest.unwrap_or_else(|| BytesMut::zeroed(ROOM_BYTES));
        PackRoom { from: self.clone(), front: BytesMut::new(), rest }
    }

    fn take_back(&self, room: BytesMut) {
        let mut state = self.lock();
        state.lent -= 1;
        // Parts of a pack that was given up are still with others, or lost.
        if room.len() == ROOM_BYTES {
            state.idle.push(room);
        }
        drop(state);
        self.came_back.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PackRoom {
    /// Cuts off the next part. What is in it is left from another pack.
    ///
    /// # Panics
    /// If there is not so much left.
    pub fn cut(&mut self, bytes: usize) -> BytesMut {
        self.rest.split_to(bytes)
    }

    /// Joins a part with those before it, in the order in which they were cut off.
    pub fn join(&mut self, part: BytesMut) {
        self.front.unsplit(part);
    }

    /// All that was joined.
    pub fn joined(&self) -> &[u8] {
        &self.front
    }
}

impl Drop for PackRoom {
    fn drop(&mut self) {
        let mut whole = std::mem::take(&mut self.front);
        let rest = std::mem::take(&mut self.rest);
        if whole.len() + rest.len() == ROOM_BYTES {
            whole.unsplit(rest);
        }
        self.from.take_back(whole);
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;

    #[test]
    fn parts_that_are_joined_lie_as_they_were_cut() {
        let memory = Arc::new(PackMemory::default());
        let mut room = memory.lend();
        let mut parts: Vec<_> = [3, 0, 5].into_iter().map(|bytes| room.cut(bytes)).collect();
        parts[2].fill(2);
        parts[0].fill(1);

        parts.into_iter().for_each(|part| room.join(part));

        assert_eq!(room.joined(), [1, 1, 1, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn memory_is_used_again_unless_a_part_of_it_is_missing() {
        let memory = Arc::new(PackMemory::default());
        let address = |room: &PackRoom| room.rest.as_ptr();
        let mut room = memory.lend();
        let first = address(&room);
        let part = room.cut(7);
        room.join(part);
        drop(room);

        let mut again = memory.lend();
        assert_eq!((address(&again), again.rest.len()), (first, ROOM_BYTES));
        let kept = again.cut(7);
        drop(again);

        assert_eq!(memory.lend().rest.len(), ROOM_BYTES);
        drop(kept);
    }

    #[test]
    fn one_pack_too_many_waits_for_another_to_go() {
        let memory = Arc::new(PackMemory::default());
        let mut rooms: Vec<_> = (0..PACKS_MAX).map(|_| memory.lend()).collect();
        let waiting = thread::spawn({
            let memory = memory.clone();
            move || memory.lend().rest.len()
        });

        thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        drop(rooms.pop());

        assert_eq!(waiting.join().unwrap(), ROOM_BYTES);
    }
}
