"""A real engine's blocks outlive it: transformers with a paged cache is killed, and the next one answers from what the
first one computed, with the same tokens.

    python3 test/gpu/check_engine.py LIBTERRACE
"""

import json
import os
import random
import subprocess
import sys
import tempfile

import terrace_abi as abi

PROMPT_TOKENS = 6000


class Engine:
    def __init__(self, library):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "paged_engine.py")
        self.process = subprocess.Popen(
            [sys.executable, script, library], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.shape = self.answer()

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        abi.fail(f"the engine ended with {self.process.wait()}")

    def ask(self, do, **fields):
        self.process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def kill(self):
        self.process.kill()
        self.process.wait()


class Daemon:
    def __init__(self, library):
        self.terrace = abi.Terrace(library)
        self.queue = abi.Queue(self.terrace, 8)
        self.door_path = os.path.join(tempfile.mkdtemp(prefix="gpu-"), "door")
        self.door = self.terrace.open_door(self.door_path)
        self.slots = None

    def attach(self, engine):
        shape, token = engine.shape, os.urandom(16)
        engine.ask("hand in", door=self.door_path, token=token.hex())
        self.region = self.terrace.take_device(self.door, token, shape["tensors"] * shape["tensorBytes"])
        layers, tensor, piece = shape["tensors"] // 2, shape["tensorBytes"], shape["pieceBytes"]
        self.place = self.terrace.open_place([(0, tensor, piece, layers, piece), (layers * tensor, tensor, piece, layers, piece)])
        self.payload = shape["tensors"] * piece
        if self.slots is None:
            byte_count = self.payload * shape["blocks"]
            self.slots = self.terrace.open_memory(byte_count)
            abi.pin(self.queue, self.slots, byte_count)

    def gather(self, ids):
        done = self.queue.run([
            abi.step(abi.GATHER, source_region=self.region, source=block, target_region=self.slots,
                     target=slot * self.payload, byte_count=self.payload, place=self.place)
            for slot, block in enumerate(ids)
        ])
        return [checksum for status, checksum in done if status == abi.OK]

    def scatter(self, ids, sums):
        done = self.queue.run([
            abi.step(abi.SCATTER, source_region=self.slots, source=slot * self.payload, target_region=self.region,
                     target=block, byte_count=self.payload, place=self.place, checksum=checksum)
            for slot, (block, checksum) in enumerate(zip(ids, sums))
        ])
        return all(status == abi.OK for status, _ in done)

    def detach(self):
        self.terrace.close_region(self.region)
        self.terrace.close_place(self.place)


def main(library):
    prompt = [random.Random(5).randrange(3, 8000) for _ in range(PROMPT_TOKENS)]
    daemon = Daemon(library)
    first = Engine(library)
    daemon.attach(first)
    cold = first.ask("generate", prompt=prompt)
    own = first.ask("generate", prompt=prompt)
    again = first.ask("generate", prompt=prompt)
    ids = first.ask("blocks", prompt=prompt)["ids"]
    sums = daemon.gather(ids)
    if len(sums) != len(ids) or len(ids) < PROMPT_TOKENS // first.shape["blockTokens"] - 1:
        abi.fail(f"{len(sums)} of {len(ids)} blocks were stored")
    digests = first.ask("digest", ids=ids)["digests"]
    first.kill()
    daemon.detach()

    second = Engine(library)
    daemon.attach(second)
    targets = second.ask("reserve", prompt=prompt, count=len(ids))["ids"]
    if not daemon.scatter(targets, sums):
        abi.fail("a scatter did not end well")
    if second.ask("digest", ids=targets)["digests"] != digests:
        abi.fail("the next engine's blocks are not those of the first")
    second.ask("adopt", prompt=prompt, ids=targets)
    warm = second.ask("generate", prompt=prompt)
    second.kill()
    daemon.detach()
    if warm["cached"] != own["cached"] or warm["cached"] == 0:
        abi.fail(f"the next engine took {warm['cached']} tokens from its cache, its own hit had {own['cached']}")
    if again["logprobs"] != own["logprobs"]:
        abi.fail("the engine itself does not answer the same twice: nothing can be compared")
    if warm["tokens"] != own["tokens"] or warm["logprobs"] != own["logprobs"]:
        abi.fail("the next engine's answer differs from that of the first one's own hit")
    same = "the same" if warm["tokens"] == cold["tokens"] else "not the same"
    print(
        f"engine: {len(ids)} blocks of {daemon.payload} bytes ({first.shape['tensors']} tensors) outlive kill -9; the next engine "
        f"takes {warm['cached']} of {PROMPT_TOKENS} tokens and answers as from its own cache, tokens and log-probabilities "
        f"({same} as cold); {len(warm['tokens'])} tokens in {warm['s']:.2f} s, cold {cold['s']:.2f} s, own {own['s']:.2f} s"
    )


if __name__ == "__main__":
    main(sys.argv[1])
