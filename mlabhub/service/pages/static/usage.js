// Days of GPU-hours as a picture to point at: uPlot draws what the page's own picture and its table say.

const figure = document.getElementById("usage-chart");
const plot = figure.querySelector(".mlab-usage-plot");
const own = plot.querySelector("svg");
const lines = [...document.querySelectorAll("#usage-days tbody tr")];
const names = [...document.querySelectorAll("#usage-days thead th")].slice(1).map((one) => one.textContent);
const keys = [...own.querySelectorAll("path")].map((one) => one.className.baseVal);
const hours = lines.map((line) => JSON.parse(line.dataset.hours));
const days = lines.map((line) => line.querySelector("th").textContent);
const short = new Intl.DateTimeFormat(figure.lang, { month: "short", day: "numeric", timeZone: "UTC" });
const number = new Intl.NumberFormat(figure.lang, { maximumFractionDigits: 1 });
const HEIGHT = 240;
const LEAST_PX = 70;

// A step goes from its day to the next one, so that the last day is there twice.
const places = [...days.keys(), days.length];
const at = (place) => Math.min(place, days.length - 1);
const edges = names.map((_, band) =>
  places.map((place) => hours[at(place)].slice(0, band + 1).reduce((sum, one) => sum + (one ?? 0), 0)),
);

const colours = (key) => {
  const found = getComputedStyle(own.querySelector(`path.${key}`));
  return { stroke: found.stroke, fill: found.fill === "none" ? undefined : found.fill };
};

// What nobody knew is hatched: no band is told by its colour alone.
const hatched = (colour, line) => (drawn) => {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = line;
  for (const from of [-8, 0, 8]) {
    pen.moveTo(from, 8);
    pen.lineTo(from + 8, 0);
  }
  pen.stroke();
  return drawn.ctx.createPattern(tile, "repeat");
};

const bandOf = (band) => {
  const { stroke, fill } = colours(keys[band]);
  const text = (_, __, ___, place) => {
    const value = place === null ? undefined : hours[at(place)][band];
    return value === undefined || value === null ? "–" : number.format(value);
  };
  const filling = keys[band].endsWith("unknown") ? hatched(fill, stroke) : fill;
  return { label: names[band], stroke, fill: filling, value: text, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } };
};

const make = () => {
  const style = getComputedStyle(figure);
  const axis = {
    stroke: style.color,
    grid: { stroke: style.getPropertyValue("--bs-border-color"), width: 1 },
    ticks: { show: false },
    font: `13px ${style.fontFamily}`,
  };
  const bands = [...names.keys()].reverse();
  return new uPlot(
    {
      width: plot.clientWidth,
      height: HEIGHT,
      scales: { x: { time: false, range: [0, days.length] }, y: { range: (_, __, most) => [0, Math.max(most, 1) * 1.05] } },
      axes: [
        {
          ...axis,
          space: LEAST_PX,
          incrs: [1, 2, 5, 7, 14, 30, 60, 90, 180, 365],
          values: (_, shown) => shown.map((place) => (lines[place] ? short.format(new Date(lines[place].dataset.day)) : "")),
        },
        { ...axis, size: 60, values: (_, shown) => shown.map((value) => number.format(value)) },
      ],
      series: [{ label: figure.dataset.day, value: (_, place) => (place === null ? "–" : days[at(place)]) }, ...bands.map(bandOf)],
      cursor: { drag: { x: false, y: false }, points: { show: false } },
      legend: { live: true },
    },
    [places, ...bands.map((band) => edges[band])],
    plot,
  );
};

if (window.uPlot && lines.length) {
  let shown = make();
  own.setAttribute("hidden", "");
  figure.classList.add("mlab-usage-drawn");
  new ResizeObserver(() => shown.setSize({ width: plot.clientWidth, height: HEIGHT })).observe(plot);
  new MutationObserver(() => {
    shown.destroy();
    shown = make();
  }).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
}
