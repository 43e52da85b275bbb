"""Messages about people's launches by e-mail and chat, through Apprise.

Guarantees: nothing waits for a message: whoever tells a thing goes on at once, whatever mail servers and chats do. A
notice to give back that no server took before a crash is told again after it (at least once); everything else is told
at most once. Addresses are secrets: no log line and no error has one.
"""

from mlabhub.service.notify.letters import Letter, letters_about
from mlabhub.service.notify.notifier import Notifier, note_told, open_notifier, tell_again
from mlabhub.service.notify.post import Post

__all__ = ["Letter", "Notifier", "Post", "letters_about", "note_told", "open_notifier", "tell_again"]
