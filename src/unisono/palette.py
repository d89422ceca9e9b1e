"""The colours of pictures: of classes, of text and guides; a modality's own colour is in its `ModalitySpec`.

Examples:
    >>> import unisono as un
    >>> un.palette.class_colours(3)
    ['#0072B2', '#E69F00', '#009E73']
    >>> un.palette.on_dark("#0072B2")
    '#4C9CC9'
"""

from __future__ import annotations

__all__ = ["ACCENT", "CLASSES", "CLASSES_ON_DARK", "FAINT", "INK", "class_colours", "on_dark"]

CLASSES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8C7A00")
"""Okabe and Ito's colours, told apart by colour-blind readers; their yellow darkened, their black left to
text, so that all show on white."""

CLASSES_ON_DARK = ("#4BA3E3", "#E69F00", "#1DB88E", "#E39BC3", "#F0793A", "#9AD8FA", "#D8C63C")
"""The same, lighter, to show on black."""

INK, FAINT = "#1c1f23", "#c6ccd3"
"""Of text and measured curves; of guides and of what is set aside."""

ACCENT = "#a3240f"
"""Of the one line that a reader should not miss, such as a mean."""

_SHADES = ((0, 0.0), (0, 0.4), (255, 0.45))
"""Grey to mix in, and its share: as they are, darker, lighter."""

_ON_DARK = (255, 0.3)


def class_colours(n: int) -> list[str]:
    """Colours of so many classes: the seven, then these darker, then lighter; from the 22nd on they recur.

    Examples:
        Of four cell types; of eight, where the first colour comes again, darker:

        >>> import unisono as un
        >>> dict(zip(["B", "T", "NK", "mono"], un.palette.class_colours(4)))
        {'B': '#0072B2', 'T': '#E69F00', 'NK': '#009E73', 'mono': '#CC79A7'}
        >>> un.palette.class_colours(8)[-1]
        '#00446B'
    """
    shades = [_mixed(colour, *shade) for shade in _SHADES for colour in CLASSES]
    return [shades[place % len(shades)] for place in range(n)]


def on_dark(colour: str) -> str:
    """The same hue, lighter, to show on black.

    Examples:
        Each of red, green and blue moves by three tenths of the way to 255:

        >>> import unisono as un
        >>> un.palette.on_dark("#0072B2")
        '#4C9CC9'
    """
    return _mixed(colour, *_ON_DARK)


def _mixed(colour: str, grey: int, share: float) -> str:
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round((1 - share) * part + share * grey):02X}" for part in parts)
