"""The host's side of the protocol, fuzzed by coverage: `python -m tests.isolates.fuzz.guided 300`.

The first byte of an input says what is done with the rest: frames that one decoder reads, or a
script of them that a session hears. What is found is an exception that is none of those a guest
may cause; libFuzzer prints it and keeps its input in the working directory.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from weakref import WeakValueDictionary

import atheris

with atheris.instrument_imports(include=["facets.isolates", "facets.capabilities"]):
    from facets.isolates.codec import Blob, lower
    from facets.isolates.errors import IsolateDead, LoadError, NotTransferable
    from facets.isolates.exports import Exports
    from facets.isolates.grants import Grants
    from facets.isolates.loading import loaded
    from facets.isolates.reading import Reader
    from tests.isolates.fuzz import grammar, scripted

HOST = 1 << 22
"""Bytes of the host's memory that a frame may take."""
SEEDS = (
    scripted.READY,
    b'[["ok",1,5]]',
    b'[["ok",1,[1,{"$":["t",[1]]}]],["end",2]]',
    b'[["call",1,1,"",[1],{},1],["more",1,16],["cancel",1],["drop",[[1,1]]]]',
    b'[["call",1,0,"plain",[{"$":["g",1,{"kind":"object","name":"x","methods":{"a":"call"}}]}],{}]]',
    b'[["err",1,{"type":"A","kinds":["ValueError"],"message":"m","fields":{"a":1},"notes":["n"]}]]',
    b'[["item",2,{"$":["b",0,2]}],["sleep",1.5],["again"]]\nxy',
    b'[1,1,"kv",["set","a",{"$":["e",[1,2]]}]]',
    b'[1,1,"own",["plain",[{"$":["r",1]}],{"x":{"$":["d",[[1,2]]]}}]]',
    b'[1,1,"sql",["select ?",[{"$":["i","0xff"]}],{}]]',
    b'[["ok",1,{"$":["R",["a"],[[1]],0]}],["ok",2,{"$":["w",["a"],[1]]}]]',
    b'[["ok",1,{"$":["N","<f8",[1],{"$":["b",0,8]}]}]]\n01234567',
    b'[["long",5],["panic","MemoryError","x"]]',
)
TOKENS = [f'{{"$":["{tag}",' for tag in grammar.TAGS] + [
    f'["{tag}",'
    for tag in "ok err item end call more cancel drop sleep again long panic".split()  # noqa: SIM905
]


def one(data: bytes) -> None:
    """One input."""
    kind, frames = data[:1], data[1:].split(b"\xff")  # which no UTF-8 has
    if kind == b"s":
        said = [scripted.Say(frame, tuple(frames[i + 1 : i + 2])) for i, frame in enumerate(frames)]
        scripted.play(said[:4], streams=len(frames) % 2 == 0)
    elif kind == b"l":
        with suppress(IsolateDead, LoadError):
            loaded(frames[0])
    else:
        _read(frames[0])


def _read(frame: bytes) -> None:
    """As messages and as an operation; what was read can be sent on, or says why not."""
    grants = Grants(_Exports(), None, None)
    reader = Reader(grants, HOST)
    for read in (reader.outbox, reader.operation):
        with suppress(IsolateDead, NotTransferable):
            lower(read(frame), Blob(grants))


class _Exports(Exports):
    """Of an isolate that no loop runs: nobody is told of what is let go of."""

    def __init__(self) -> None:
        self.home = None
        self.over = True
        self.dropped = []
        self._held = WeakValueDictionary()


def main(seconds: float) -> None:
    """Run for so long, or until something is found; does not return."""
    with tempfile.TemporaryDirectory(prefix="facets-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(SEEDS):
            for kind in (b"d", b"s", b"l"):
                (corpus / f"{kind.decode()}{number}").write_bytes(kind + seed)
        words = Path(folder) / "words"
        quoted = [word.replace("\\", "\\\\").replace('"', '\\"') for word in TOKENS]
        words.write_text("".join(f'"{word}"\n' for word in quoted))
        atheris.Setup(
            [sys.argv[0], str(corpus), f"-max_total_time={seconds:.0f}", f"-dict={words}",
             "-max_len=4096", "-rss_limit_mb=0", "-timeout=20"],
            one,
        )  # fmt: skip
        atheris.Fuzz()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
