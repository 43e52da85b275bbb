// Say exact times in the reader's own time zone; the page came with the hub's.

export function localTimes(root) {
  for (const time of root.querySelectorAll("time[title]")) {
    const when = new Date(time.dateTime);
    if (!Number.isNaN(when.getTime())) {
      time.title = when.toLocaleString(document.documentElement.lang);
    }
  }
}

localTimes(document);
