// What a browser tries of a server, for the server's doctor to judge: a websocket, the way of a path, a stream, an
// upload, a large header. The doctor's own page and the service's page of a server have this file alike.

const PATIENCE_MS = 3500;
const UPLOAD_BYTES = 2 << 20; // the usual limit of proxies is one MiB
const HEADER_BYTES = 6000;
const UNUSUAL = "a%20b%2Fc//d%25e";

// Every trial ends: what takes too long has failed.
export function patiently(work, longest = PATIENCE_MS) {
  const stop = new AbortController();
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => { stop.abort(); fail(new Error("")); }, longest);
  });
  return Promise.race([work(stop.signal), late]).finally(() => clearTimeout(timer));
}

// Return what tries a server whose doctor's API is at `api`; `ask` is `fetch` with what the server wants of a script.
export function makeTrials(ask, api) {
  // A request's outcome, and what `judge` makes of an answer.
  async function request(path, options, judge, longest) {
    try {
      return await patiently(async (signal) => {
        const answer = await ask(path, { signal, cache: "no-store", ...options });
        if (!answer.ok) return { ok: false, status: answer.status };
        return { status: answer.status, ...(await judge(answer)) };
      }, longest);
    } catch (fault) {
      return { ok: false, status: 0, said: String(fault.message).slice(0, 200) };
    }
  }

  async function websocket(trial) {
    const begun = performance.now();
    const address = new URL(`${api}/echo?trial=${trial}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    let socket;
    try {
      await patiently(() => new Promise((done, fail) => {
        socket = new WebSocket(address);
        socket.onopen = () => socket.send(trial);
        socket.onmessage = (event) => (event.data === trial ? done() : fail(new Error("")));
        socket.onerror = socket.onclose = () => fail(new Error(""));
      }));
      return { websocket: { ok: true }, seconds: (performance.now() - begun) / 1000 };
    } catch {
      // Why, no page is told; the server remembers how the request arrived.
      return { websocket: { ok: false } };
    } finally {
      if (socket) {
        socket.onerror = socket.onclose = null;
        socket.close();
      }
    }
  }

  async function clock() {
    const begun = Date.now();
    let theirs;
    const kept = await request(`${api}/time/${UNUSUAL}`, {}, async (answer) => {
      const said = await answer.json();
      theirs = said.time;
      return { ok: said.path === UNUSUAL, said: String(said.path).slice(0, 200) };
    });
    return { kept, ...(theirs ? { clock: (begun + Date.now()) / 2000 - theirs } : {}) };
  }

  async function stream() {
    const times = [];
    await request(`${api}/stream`, {}, async (answer) => {
      const reader = answer.body.getReader();
      while (!(await reader.read()).done) times.push(performance.now() / 1000);
      return {};
    });
    return times.length ? { stream: [times[0], times.at(-1)] } : {};
  }

  const sized = async (answer, bytes) => ({ ok: (await answer.json()).bytes === bytes });

  async function upload() {
    const options = { method: "POST", body: new Uint8Array(UPLOAD_BYTES) };
    const outcome = await request(`${api}/upload`, options, (answer) => sized(answer, UPLOAD_BYTES));
    return { upload: { ...outcome, said: "2 MiB" } };
  }

  async function headers() {
    const options = { headers: { "X-Mlabhub-Padding": "x".repeat(HEADER_BYTES) } };
    const outcome = await request(`${api}/headers`, options, (answer) => sized(answer, HEADER_BYTES));
    return { headers: { ...outcome, said: "6 KB" } };
  }

  // What was seen from the doctor's page at the address `page`, with what `more` trials see.
  async function tryAll(page, more = []) {
    const random = crypto.getRandomValues(new Uint8Array(8));
    const trial = Array.from(random, (one) => one.toString(16).padStart(2, "0")).join("");
    const tried = await Promise.all([websocket(trial), clock(), upload(), headers(), ...more]);
    // Alone: what is sent beside it delays its events, which would look like a proxy's doing.
    tried.push(await stream());
    return Object.assign({ address: page, secure: isSecureContext, trial }, ...tried);
  }

  return { request, tryAll };
}
