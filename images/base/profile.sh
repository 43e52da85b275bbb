# shellcheck shell=sh
# Login shells (JupyterLab's terminals are such) find the server's Python first, as its notebooks do.
case ":$PATH:" in
*:/opt/venv/bin:*) ;;
*) PATH=/opt/venv/bin:$PATH ;;
esac
