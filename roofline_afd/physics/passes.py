"""What small kernels of a layer pass over besides its products: norms, number formats, rotary embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from roofline_afd.physics.arrays import FloatArray, FloatLike


def elementwise_bytes(
    *,
    tokens: FloatLike,
    width: FloatLike,
    quantised_elements: FloatLike,
    operand_bytes: FloatLike,
    turned_elements: FloatLike,
) -> FloatArray:
    """Return the bytes that small kernels of one layer read and write.

    Parameters
    ----------
    tokens : float or array
        Tokens of the device, T [1].
    width : float or array
        Width of the residual stream, H [elements].
    quantised_elements : float or array
        Elements of a token put into a narrower format for products or dispatch, q; 0 where none is
        [elements].
    operand_bytes : float or array
        Bytes of an element in that format, b_o [B].
    turned_elements : float or array
        Elements of a token's queries and keys that the rotary embedding passes over, or that are joined with
        their turned part, r [elements].

    Returns
    -------
    float or array
        Bytes [B].

    Notes
    -----
    bytes = T * (2 * 8 * H + q * (2 + b_o) + 4 * r): two norms that read and write stream and residual in
    bf16, a pass for each change of format, one over queries and keys

    References
    ----------
    This project; whole latent modules of TensorRT-LLM on GB200 grow by 0.09 to 0.12 us a sequence beyond
    their products and cores, this counts 0.1; on H200 by 0.04 to 0.09, this counts 0.17.

    Examples
    --------
    >>> float(elementwise_bytes(tokens=1, width=7168, quantised_elements=25088, operand_bytes=1,
    ...                         turned_elements=73728))
    484864.0
    """
    stream = np.multiply(16.0, width)
    formats = np.multiply(quantised_elements, np.add(2.0, operand_bytes))
    return np.multiply(tokens, stream + formats + np.multiply(4.0, turned_elements))
