// Count down what is marked with the seconds that are left; when none is, it may end at any moment, and has not yet. A
// screen reader is told when five minutes and one are left, and not every second.

const SECOND = 1000;
const MINUTE = 60;
const HOUR = 3600;
const SAID_AT = [5 * MINUTE, MINUTE];

const words = document.getElementById("span-words")?.dataset;
const said = document.getElementById("live-said");

function span(left) {
  if (left < MINUTE) {
    return words.seconds.replace("{seconds}", left);
  }
  if (left < HOUR) {
    return words.minutes.replace("{minutes}", Math.floor(left / MINUTE)).replace("{seconds}", left % MINUTE);
  }
  const minutes = Math.floor((left % HOUR) / MINUTE);
  return words.hours.replace("{hours}", Math.floor(left / HOUR)).replace("{minutes}", minutes);
}

function tick() {
  for (const element of document.querySelectorAll("[data-left]:not(#live-said)")) {
    element.ends ??= performance.now() + Number(element.dataset.left) * SECOND;
    const left = Math.max(0, Math.ceil((element.ends - performance.now()) / SECOND));
    const text = left > 0 ? words.in.replace("{span}", span(left)) : words.over;
    if (element.textContent !== text) {
      element.textContent = text;
    }
    if (said && element.closest("[data-notice]") && SAID_AT.includes(left) && element.told !== left) {
      element.told = left;
      said.textContent = said.dataset.left.replace("{span}", said.dataset.minutes.replace("{minutes}", left / MINUTE));
    }
  }
}

if (words) {
  tick();
  window.setInterval(tick, SECOND);
}
