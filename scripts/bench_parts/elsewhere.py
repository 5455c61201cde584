"""Places elsewhere, and contestants that keep their repository there.

`benches/places` runs an S3 store (s3s-fs) and the Google Drive of the tests on loopback, each behind
a line of 200 Mbit/s in each direction with a round trip of 50 ms; it counts requests and bytes.
Stillpoint backs up to a folder of its own and sends that to its mirror in the same command; restic
and rustic keep their repository in the bucket. Whoever restores there is a machine that has nothing
but the key.
"""

import http.client
import itertools
import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from bench_parts.contestants import Restic, Rustic, Stillpoint
from bench_parts.measure import run

BYTES_PER_SECOND = 25_000_000
ROUND_TRIP_MS = 50
TURNS = itertools.count(1)
CLIENT = "4711-desktop.apps.googleusercontent.com"


class Elsewhere:
    """The two places, while this lives."""

    def __init__(self):
        argv = ["cargo", "bench", "--locked", "--quiet", "--bench", "places", "--"]
        argv += [str(BYTES_PER_SECOND), str(ROUND_TRIP_MS)]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.where = json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def take_counts(self):
        """What was sent, received and asked since the last time."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        return {
            "sent": told["up_bytes"],
            "received": told["down_bytes"],
            "requests": told["requests"],
            "asked": told["asked"],
        }


class There:
    """What contestants with a place elsewhere have in common."""

    def __init__(self, scratch, elsewhere):
        super().__init__(Path(scratch, "elsewhere"))
        self.elsewhere, self.prefix = elsewhere, ""

    def create(self):
        """Every repository has a prefix of its own: nobody meets what was there before."""
        self.prefix = f"{self.folder.name}-{next(TURNS)}"
        self.aim()
        super().create()

    def aim(self):
        """Points the commands at the prefix."""

    def become_fresh(self):
        """From now on on a machine that was never here."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)

    def s3_environment(self):
        lines = self.elsewhere.where["credentials"].splitlines()
        pairs = (line.split(" = ") for line in lines[1:3])
        return {name.upper(): value for name, value in pairs} | {"AWS_DEFAULT_REGION": "us-east-1"}


class StillpointThere(There, Stillpoint):
    """With a mirror in the bucket, or on Drive."""

    def __init__(self, scratch, elsewhere, kind="s3", by="line"):
        super().__init__(scratch, elsewhere)
        self.kind, self.by = kind, by
        self.config = self.folder / "stillpoint.toml"

    def create(self):
        super().create()
        self.settle()

    def settle(self):
        """Makes a mirror for the repository that is in the folder."""
        self.prefix = f"{self.folder.name}-{next(TURNS)}"
        (self.folder / "credentials").write_text(self.elsewhere.where["credentials"])
        client = {"client_id": CLIENT, "client_secret": self.elsewhere.where["client_secret"]}
        (self.folder / "client.json").write_text(json.dumps({"installed": client}))
        self.config.write_text(self.mirror_settings())
        if self.kind == "gdrive":
            self.log_in("away", "state")
        # As `mirror add` does: what a place is made ready with belongs to its creation.
        catch_up(self, self.sync())

    def endpoint(self, by):
        name = "s3" if self.kind == "s3" else "drive"
        return self.elsewhere.where[name if by == "line" else f"{name}_straight"]

    def mirror_settings(self):
        common = f'[[mirror]]\nname = "away"\nretention = {{ auto = false }}\nkind = "{self.kind}"\n'
        common += f'endpoint = "{self.endpoint(self.by)}"\n'
        if self.kind == "s3":
            bucket = self.elsewhere.where["bucket"]
            credentials = self.folder / "credentials"
            return common + (
                f'bucket = "{bucket}"\nprefix = "{self.prefix}"\n'
                f'credentials_file = "{credentials}"\n'
            )
        return common + (
            f'folder = "{self.prefix}"\nclient_secret_file = "{self.folder / "client.json"}"\n'
        )

    def place(self):
        """The mirror as a repository, by the line."""
        endpoint = self.endpoint("line")
        if self.kind == "s3":
            bucket, credentials = self.elsewhere.where["bucket"], self.folder / "credentials"
            return f"s3:{bucket}/{self.prefix}?endpoint={endpoint}&credentials={credentials}"
        client = self.folder / "client.json"
        return f"gdrive:{self.prefix}?client_secret={client}&endpoint={endpoint}"

    def backup(self, source):
        (command,) = super().backup(source)
        command.argv[1:1] = ["--config", self.config]
        return [command]

    def backup_here(self, source):
        """Without the mirror."""
        return super().backup(source)

    def sync(self):
        words = ["--config", self.config, "mirror", "sync", "away"]
        return [self.stillpoint(*self.credential(), *words)]

    def there(self, *words):
        """A command of the fresh machine."""
        state = self.home / "state"
        return self.command("--repo", self.place(), "--state-dir", state, *self.credential(), *words)

    def become_fresh(self):
        super().become_fresh()
        if self.kind == "gdrive":
            self.log_in(self.place(), self.home / "state")

    def restore(self, source, target, ago=0):
        words = ["restore", f"latest~{ago}", "--part", source.name, "--quiet", "--target", target]
        return [self.there(*words)]

    def log_in(self, name, state):
        """As somebody does whose browser is elsewhere."""
        words = ["--repo", self.repository, "--state-dir", self.folder / state]
        words += ["--config", self.config, *self.credential()]
        argv = [self.program, *words, "mirror", "login", name, "--no-browser"]
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in process.stderr:
            if line.startswith("http"):
                process.stdin.write(redirect_of(line.strip()) + "\n")
                process.stdin.close()
                break
        said = process.stderr.read()
        if process.wait() != 0:
            raise RuntimeError(f"mirror login: {said}")


def redirect_of(url):
    """Where a page sends the browser."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("GET", f"{parts.path}?{parts.query}")
    location = connection.getresponse().getheader("Location")
    connection.close()
    return location


class ResticThere(There, Restic):
    def aim(self):
        where = self.elsewhere.where
        self.env |= self.s3_environment()
        self.env["RESTIC_REPOSITORY"] = f"s3:{where['s3']}/{where['bucket']}/{self.prefix}"


class RusticThere(There, Rustic):
    def aim(self):
        self.env["RUSTIC_REPOSITORY"] = "opendal:s3"

    def init(self):
        self.write_profile()
        return super().init()

    def become_fresh(self):
        super().become_fresh()
        self.write_profile()

    def write_profile(self):
        where, secrets = self.elsewhere.where, self.s3_environment()
        profile = self.home / ".config" / "rustic" / "rustic.toml"
        profile.parent.mkdir(parents=True)
        profile.write_text(
            "[repository.options]\n"
            f'bucket = "{where["bucket"]}"\nendpoint = "{where["s3"]}"\nregion = "us-east-1"\n'
            f'root = "/{self.prefix}"\n'
            f'access_key_id = "{secrets["AWS_ACCESS_KEY_ID"]}"\n'
            f'secret_access_key = "{secrets["AWS_SECRET_ACCESS_KEY"]}"\n'
        )


def catch_up(contestant, commands):
    """Runs what is not measured, and what it cost is not counted."""
    run(*commands)
    _ = contestant.elsewhere.take_counts()
