"""A real engine: transformers' continuous batching with its paged cache, a small model with weights from a seed.
Run by check_engine.py; a line of JSON in, a line of JSON out.

What it does for Terrace is what an adapter would: it exports its cache tensors, names the blocks of a prompt, and
takes blocks that were filled from outside into its table as computed ones.
"""

import hashlib
import json
import sys
import time

import terrace_abi as abi
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers.generation.configuration_utils import ContinuousBatchingConfig

BLOCK_TOKENS = 32
BLOCKS = 512


def model():
    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=8192, hidden_size=1024, intermediate_size=2816, num_hidden_layers=16, num_attention_heads=16,
        num_key_value_heads=8, max_position_embeddings=16384, initializer_range=0.1,
    )
    return LlamaForCausalLM(config).to(torch.bfloat16).to("cuda").eval()


class Engine:
    def __init__(self):
        generation = GenerationConfig(do_sample=False, max_new_tokens=48, eos_token_id=8191, pad_token_id=0)
        batching = ContinuousBatchingConfig(
            block_size=BLOCK_TOKENS, num_blocks=BLOCKS, max_batch_tokens=8192, use_cuda_graph=False,
            use_async_batching=False, return_logprobs=True,
        )
        self.model = model()
        self.manager = self.model.init_continuous_batching(
            generation_config=generation, continuous_batching_config=batching
        )
        self.manager.start()
        self.requests = 0
        # The cache is made by the manager's thread; the first request waits for it.
        self.generate([1, 2, 3])
        self.cache = self.manager.batch_processor.cache

    def generate(self, prompt):
        self.requests += 1
        name = f"r{self.requests}"
        before = self.cache._total_prefix_length if hasattr(self, "cache") else 0
        started = time.perf_counter()
        self.manager.add_request(prompt, request_id=name)
        while True:
            result = self.manager.get_result(request_id=name, timeout=60)
            if result is None:
                raise RuntimeError("no answer")
            if result.is_finished():
                break
        torch.cuda.synchronize()
        found = self.cache._total_prefix_length - before if hasattr(self, "cache") else 0
        return {"tokens": list(result.generated_tokens), "logprobs": list(result.logprobs), "cached": found, "s": time.perf_counter() - started}

    def tensors(self):
        return [*self.cache.key_cache, *self.cache.value_cache]

    def hashes(self, prompt):
        """The engine's own names of the prompt's whole blocks."""
        blocks, name = self.cache._block_manager, None
        for start in range(0, len(prompt) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
            name = blocks.compute_hash(name, prompt[start : start + BLOCK_TOKENS], 0)
            yield name

    def blocks_of(self, prompt):
        """Where the leading blocks of a prompt lie, as far as they are computed."""
        found = []
        for name in self.hashes(prompt):
            block = self.cache._block_manager._hash_to_id.get(name)
            if block is None:
                break
            found.append(block)
        return found

    def reserve(self, prompt, count):
        return self.cache._block_manager.get_free_blocks(count, None, True, 0)

    def adopt(self, prompt, ids):
        """Blocks that were filled from outside become computed ones that nobody uses."""
        blocks = self.cache._block_manager
        for name, block in zip(self.hashes(prompt), ids):
            blocks._id_to_block[block].hash = name
            blocks._hash_to_id[name] = block
            blocks.decrease_ref_count(block)

    def forget_answers(self, prompt):
        """Leaves only the prompt's blocks. An answer that is computed again is otherwise replaced, block by block, by
        that of the first time."""
        blocks = self.cache._block_manager
        kept = set(self.blocks_of(prompt))
        for name, block in list(blocks._hash_to_id.items()):
            if block not in kept:
                del blocks._hash_to_id[name], blocks._init_block_ids[block], blocks._id_to_block[block]
                blocks._uninit_block_ids.append(block)

    def digest(self, block):
        """What a block holds, as the engine itself reads it."""
        rows = slice(block * BLOCK_TOKENS, (block + 1) * BLOCK_TOKENS)
        content = torch.stack([tensor[rows] for tensor in self.tensors()])
        return hashlib.sha256(content.view(torch.uint8).cpu().numpy().tobytes()).hexdigest()

    def forget(self):
        """Poisons the whole cache, so that an answer from it can only come from what is copied in."""
        for tensor in self.tensors():
            tensor[: BLOCKS * BLOCK_TOKENS].fill_(float("nan"))
        torch.cuda.synchronize()


def main(library):
    terrace, engine = abi.Terrace(library), Engine()
    tensors = engine.tensors()
    byte_count = tensors[0].numel() * tensors[0].element_size()
    print(json.dumps({
        "tensors": len(tensors), "tensorBytes": byte_count, "blocks": BLOCKS, "blockTokens": BLOCK_TOKENS,
        "pieceBytes": byte_count // (BLOCKS + 2),
    }), flush=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        answer = {}
        match wanted["do"]:
            case "hand in":
                parts = [terrace.export(tensor.data_ptr(), byte_count) for tensor in tensors]
                terrace.hand_device(wanted["door"], bytes.fromhex(wanted["token"]), parts)
                answer = {"kinds": sorted({part.kind for part in parts})}
            case "generate":
                answer = engine.generate(wanted["prompt"])
                engine.forget_answers(wanted["prompt"])
            case "blocks":
                answer = {"ids": engine.blocks_of(wanted["prompt"])}
            case "reserve":
                engine.forget()
                answer = {"ids": engine.reserve(wanted["prompt"], wanted["count"])}
            case "digest":
                answer = {"digests": [engine.digest(block) for block in wanted["ids"]]}
            case "adopt":
                engine.adopt(wanted["prompt"], wanted["ids"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
