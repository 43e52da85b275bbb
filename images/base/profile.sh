# shellcheck shell=sh
# Login shells (JupyterLab's terminals are such) find the server's Python first, as its notebooks do.
case ":$PATH:" in
*:/opt/venv/bin:*) ;;
*) PATH=/opt/venv/bin:$PATH ;;
esac
# Programs of packages that pip put into the home come next.
case ":$PATH:" in
*:"$HOME"/.local/bin:*) ;;
*) PATH=/opt/venv/bin:$HOME/.local/bin:${PATH#/opt/venv/bin:} ;;
esac
# What there is to know about this server: a share that is away, a home that is full.
if [ -n "$MLABHUB_NOTES" ] && [ -t 1 ]; then
    printf '%s\n' "$MLABHUB_NOTES"
fi
