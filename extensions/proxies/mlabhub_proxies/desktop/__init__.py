"""A desktop of KDE Plasma in the browser."""
