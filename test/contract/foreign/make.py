"""Makes the samples beside this file with the engines' own classes.

    python3 make.py ENGINE VERSION PATH_OF_ITS_kv_events.py
    python3 make.py lmcache VERSION PATH_OF_ITS_lookup_hash.py
    python3 make.py lmcache-chunks VERSION PATH_OF_ITS_file_hash.py

Of the given file only the event classes are run, as they stand, so that neither engine nor GPU is needed; msgspec has to be
installed. What happens in the sample is told in README.md.
"""

import ast
import contextlib
import hashlib
import io
import json
import sys
import types
from pathlib import Path
from typing import Any, Optional, Union

import msgspec

HERE = Path(__file__).parent
CLASSES = ["EventBatch", "KVCacheEvent", "BlockStored", "BlockRemoved", "AllBlocksCleared", "KVEventBatch"]


def classes_of(path: str, names: list[str], scope: dict[str, Any]) -> dict[str, Any]:
    """Runs the named classes of a source file, and nothing else of it."""
    module = types.ModuleType("foreign")
    module.__dict__.update(scope)
    sys.modules["foreign"] = module
    for node in ast.parse(Path(path).read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name in names:
            node.body = [part for part in node.body if not isinstance(part, ast.FunctionDef) or part.name[0] == "_"]
            exec(compile(ast.Module([node], []), path, "exec"), module.__dict__)
    return module.__dict__


def events(engine: str, version: str, path: str) -> None:
    of = classes_of(path, CLASSES, {
        "__name__": "foreign", "msgspec": msgspec, "Any": Any, "Optional": Optional, "Union": Union,
        "ExternalBlockHash": Union[bytes, int],
    })
    stored_class = of["BlockStored"]
    known = set(stored_class.__struct_fields__)

    def key(number: int) -> Any:
        digest = hashlib.sha256(number.to_bytes(4, "little")).digest()
        return digest if engine == "vllm" else int.from_bytes(digest[:8], "big", signed=True)

    def stored(numbers: list[int], parent: int | None, **fields: Any) -> Any:
        fields = {name: value for name, value in fields.items() if name in known}
        if "medium" in known:
            fields.setdefault("medium", "GPU")
        if "lora_name" in known and engine == "vllm":
            fields.setdefault("lora_name", None)
        return stored_class(
            block_hashes=[key(number) for number in numbers],
            parent_block_hash=None if parent is None else key(parent),
            token_ids=[token for number in numbers for token in range(4 * number, 4 * number + 4)],
            block_size=4, lora_id=None, **fields,
        )

    def removed(numbers: list[int]) -> Any:
        fields = {"medium": "GPU"} if "medium" in of["BlockRemoved"].__struct_fields__ else {}
        return of["BlockRemoved"](block_hashes=[key(number) for number in numbers], **fields)

    below = "CPU" if engine == "vllm" else "CPU_PINNED"
    # One prompt of four blocks in two pieces, then a block of its answer.
    batches = [
        (100.0, [stored([1, 2], None, group_idx=0, session_id="s1")]),
        (100.5, [stored([3, 4], 2, group_idx=0, session_id="s1")]),
        (101.5, [stored([5], 4, group_idx=0, session_id="s1")]),
    ]
    # Another prompt that shares two blocks, while the first one's copies go down.
    batches.append((102.0, [stored([6, 7], 2, group_idx=0, session_id="s2")]))
    if "medium" in known:
        batches.append((102.5, [stored([1, 2], None, medium=below)]))
    if "group_idx" in known:
        batches.append((103.0, [stored([1, 2], None, group_idx=1)]))
    # The first conversation's next turn, after some blocks were dropped; then everything is.
    batches.append((110.0, [removed([7]), stored([8, 9], 5, group_idx=0, session_id="s1")]))
    batches.append((111.0, [of["AllBlocksCleared"]()]))
    made = [of["KVEventBatch"](ts, list_of, 0) for ts, list_of in batches]
    packed = b"".join(msgspec.msgpack.encode(batch) for batch in made)
    (HERE / f"{engine}-{version}.msgpack").write_bytes(packed)
    (HERE / f"{engine}-{version}.jsonl").write_bytes(b"".join(msgspec.json.encode(batch) + b"\n" for batch in made))


def lookups(version: str, path: str) -> None:
    """LMCache's logger writes one line per lookup; its own method makes them, into a list instead of a file."""
    tree = ast.parse(Path(path).read_text())
    owner = next(node for node in tree.body if getattr(node, "name", "") == "LookupHashLoggingSubscriber")
    method = next(node for node in owner.body if getattr(node, "name", "") == "_on_lookup_hashes")
    method.args.args[1].annotation = None
    scope: dict[str, Any] = {"json": json}
    exec(compile(ast.Module([method], []), path, "exec"), scope)
    lines: list[str] = []
    handle = types.SimpleNamespace(write=lines.append, flush=lambda: None, tell=lambda: 0)
    logger = types.SimpleNamespace(_needs_rotation=lambda _: False, _current_handle=handle)

    def look_up(at: float, name: str, seq_len: int, numbers: list[int]) -> None:
        hashes = [hashlib.sha256(number.to_bytes(4, "little")).digest() for number in numbers]
        scope["_on_lookup_hashes"](logger, types.SimpleNamespace(timestamp=at, metadata={
            "request_id": name, "model_name": "some-model", "chunk_size": 256, "seq_len": seq_len,
            "dtypes": ["bfloat16"], "shapes": [[32, 256, 128]], "chunk_hashes": hashes,
        }))

    look_up(1711929600.0, "req-1", 600, [1, 2])
    look_up(1711929600.5, "req-2", 1024, [1, 2, 3, 4])
    look_up(1711929601.0, "req-3", 100, [])
    (HERE / f"lmcache-{version}.jsonl").write_text("".join(lines))


def chunks(version: str, path: str) -> None:
    """The chunk statistics of an engine with LMCache inside: its own method, into a list instead of a file."""
    tree = ast.parse(Path(path).read_text())
    owner = next(node for node in tree.body if getattr(node, "name", "") == "FileHashStrategy")
    method = next(node for node in owner.body if getattr(node, "name", "") == "record")
    clock = iter([1711929600.0, 1711929600.25])
    scope: dict[str, Any] = {"json": json, "io": io, "cast": lambda _, value: value}
    scope["time"] = types.SimpleNamespace(time=lambda: next(clock))
    exec(compile(ast.Module([method], []), path, "exec"), scope)
    lines: list[str] = []
    handle = types.SimpleNamespace(write=lines.append, flush=lambda: None)
    strategy = types.SimpleNamespace(
        lock=contextlib.nullcontext(), current_file="", current_file_size=0, file_rotation_size=1 << 30,
        current_file_handle=handle, total_chunks=0, unique_chunks_count=0,
    )
    scope["record"](strategy, [hex(0x67ABDD721024F0FF), hex(0x26B25D457597A7B0)], "lookup-1")
    scope["record"](strategy, [hex(0x67ABDD721024F0FF), hex(0x9D9F290527A6BE62)], "lookup-2")
    (HERE / f"lmcache-chunks-{version}.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    if sys.argv[1] == "lmcache":
        lookups(sys.argv[2], sys.argv[3])
    elif sys.argv[1] == "lmcache-chunks":
        chunks(sys.argv[2], sys.argv[3])
    else:
        events(*sys.argv[1:4])
