// The page of a tool that starts: ask how far it is, show the time, and go on when it is ready or has failed.
import { ask as askServer } from "./ask.js";

const start = document.getElementById("start");
const soFar = start.querySelector(".so-far");
const bar = start.querySelector(".progress-bar");
const typical = Math.max(1, Number(start.dataset.typical));
const begun = performance.now() - 1000 * Number(start.dataset.soFar);

function showTime() {
  const seconds = (performance.now() - begun) / 1000;
  soFar.textContent = soFar.dataset.template.replace("{seconds}", Math.round(seconds));
  // Comes ever nearer to the end and never says it is there.
  bar.style.width = `${100 * (1 - Math.exp(-1.5 * seconds / typical))}%`;
  document.getElementById("slow").hidden = seconds < 2 * typical;
}

async function ask() {
  try {
    const answer = await askServer(start.dataset.status);
    document.getElementById("offline").hidden = true;
    // Not known any more, or not signed in: the page itself says what to do.
    if (!answer.ok && answer.status < 500) return location.reload();
    if (answer.ok && (await answer.json()).state !== "starting") return location.reload();
  } catch {
    document.getElementById("offline").hidden = false;
  }
  setTimeout(ask, 500);
}

setInterval(showTime, 250);
showTime();
ask();
