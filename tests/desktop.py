"""The desktop as its page shows it, for tests in a browser."""

from __future__ import annotations

KONSOLE_LEFT, KONSOLE_ABOVE = 71, 20
"""Where Konsole's picture is in the desktop's bar: from the left, and above the lower edge."""
PICTURE = "#place canvas:not(#still)"
COLOURS = """() => {
    const canvas = document.querySelector("#place canvas:not(#still)");
    if (!canvas.width) return 0;
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(new Uint32Array(data.buffer)).size;
}"""
"""How many colours the picture has."""
