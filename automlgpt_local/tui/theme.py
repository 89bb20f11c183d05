"""Two calm themes, dark and light. Colour repeats what a word or a sign says already; it never says it alone."""

from textual.theme import Theme

DARK = Theme(
    name="automlgpt-dark",
    dark=True,
    primary="#7aa2c8",
    secondary="#8f9bb3",
    accent="#d8a657",
    success="#89b482",
    warning="#d8a657",
    error="#e0786c",
    foreground="#d4d8de",
    background="#16191d",
    surface="#1c2025",
    panel="#262b32",
    variables={
        "block-cursor-text-style": "none",
        "footer-key-foreground": "#d8a657",
        "input-selection-background": "#7aa2c8 35%",
    },
)

LIGHT = Theme(
    name="automlgpt-light",
    dark=False,
    primary="#2f5f8f",
    secondary="#5a6478",
    accent="#9a6200",
    success="#3d7a3a",
    warning="#9a6200",
    error="#b3372c",
    foreground="#22262b",
    background="#fafaf7",
    surface="#f2f1ec",
    panel="#e4e2da",
    variables={
        "block-cursor-text-style": "none",
        "footer-key-foreground": "#9a6200",
        "input-selection-background": "#2f5f8f 25%",
    },
)

THEMES = (DARK, LIGHT)
