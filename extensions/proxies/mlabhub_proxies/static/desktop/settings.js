// What a person has set on this page. It stays in the browser, for each server of its own.

const KEY = `mlabhub-desktop:${window.location.pathname}`;
const DEFAULTS = { size: "window", quality: "automatic", watch: false, bar: true };
const ALLOWED = { size: ["window", "scale"], quality: ["automatic", "sharp", "balanced", "slow"] };

function stored() {
  try {
    return JSON.parse(window.localStorage.getItem(KEY)) ?? {};
  } catch {
    return {}; // Storage is switched off, or holds something else.
  }
}

// Return what is set, each value one that this page knows.
export function load() {
  const settings = { ...DEFAULTS };
  const found = stored();
  for (const [name, standard] of Object.entries(DEFAULTS)) {
    const known = ALLOWED[name]?.includes(found[name]) ?? true;
    if (typeof found[name] === typeof standard && known) {
      settings[name] = found[name];
    }
  }
  return settings;
}

export function save(settings) {
  try {
    window.localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // It holds until the page is closed.
  }
}
