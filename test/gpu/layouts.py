"""How engines lay out their KV: tensors (bytes each), and the planes of a block in the row of all tensors."""

from collections import namedtuple

Layout = namedtuple("Layout", "name tensors planes blocks")


def per_layer(name, layers, kinds, piece_bytes, blocks):
    """A tensor per layer and kind (K, V), each with one piece per block."""
    tensor = piece_bytes * blocks
    planes = [(kind * layers * tensor, tensor, piece_bytes, layers, piece_bytes) for kind in range(kinds)]
    return Layout(name, [tensor] * (layers * kinds), planes, blocks)


def together(name, layers, piece_bytes, blocks):
    """One tensor, layers outermost: the pieces of a block lie far from each other, in even steps."""
    return Layout(
        name, [layers * piece_bytes * blocks], [(0, piece_bytes * blocks, piece_bytes, layers, piece_bytes)], blocks
    )


def contiguous(name, layers, piece_bytes, blocks):
    """One tensor, blocks outermost: a block is one run."""
    return Layout(
        name, [layers * piece_bytes * blocks], [(0, piece_bytes, piece_bytes * layers, layers, piece_bytes)], blocks
    )


def payload_bytes(layout):
    return sum(layers * piece for _, _, _, layers, piece in layout.planes)


def pieces_of(layout, block):
    """(offset in the row of all tensors, bytes) of a block's pieces, in the order of its payload."""
    for base, layer_stride, block_stride, layers, piece in layout.planes:
        for layer in range(layers):
            yield base + layer * layer_stride + block * block_stride, piece
