"""What an hour of sales costs at least without patches: `zstd -3` over the pages that changed.

Computed from the database file itself, while nobody has it open and its -wal is checkpointed and
gone; none of Stillpoint's code takes part.
"""

import mmap
import subprocess
from pathlib import Path

PAGE_BYTES = 4096
STRIDE_BYTES = 64 * PAGE_BYTES


class ChangedPages:
    """Remembers an image of the database, and tells what changed since the last look."""

    def __init__(self, database, image):
        self.database, self.image = Path(database), Path(image)
        self.image.write_bytes(b"")
        self.look()

    def look(self):
        """Returns the pages that changed since the last look, one after the other."""
        assert not Path(f"{self.database}-wal").exists(), "the image must be complete"
        changed = []
        with open(self.database, "rb") as new, open(self.image, "r+b") as old:
            old.truncate(self.database.stat().st_size)
            with (
                mmap.mmap(new.fileno(), 0, access=mmap.ACCESS_READ) as now,
                mmap.mmap(old.fileno(), 0) as before,
            ):
                for start in range(0, len(now), STRIDE_BYTES):
                    stride = now[start : start + STRIDE_BYTES]
                    if stride != before[start : start + STRIDE_BYTES]:
                        changed += differing_pages(stride, before[start : start + STRIDE_BYTES])
                        before[start : start + len(stride)] = stride
        return changed


def differing_pages(new, old):
    for start in range(0, len(new), PAGE_BYTES):
        page = new[start : start + PAGE_BYTES]
        if page != old[start : start + PAGE_BYTES]:
            yield page


def compressed_bytes(pages):
    """What the zstd program makes of them in one stream: no framing, and it sees across pages."""
    done = subprocess.run(
        ["zstd", "-3", "--stdout"], input=b"".join(pages), capture_output=True, check=True
    )
    return len(done.stdout)
