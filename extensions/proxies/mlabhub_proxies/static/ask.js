/**
 * Ask this server something: `fetch` with the token that JupyterHub wants from every script, for reading as well,
 * because pages of other people's servers come from the same address. The cookie has the newest one: a page may stay
 * open while its person logs in anew.
 */
export function ask(address, options = {}) {
  const cookies = document.cookie.match(/(?:^|; )_xsrf=[^;]*/g); // the server, too, believes the last one
  const kept = cookies && decodeURIComponent(cookies.at(-1).split("_xsrf=")[1]);
  const token = kept || document.querySelector('meta[name="xsrf-token"]')?.content || "";
  const headers = { Accept: "application/json", "X-XSRFToken": token, ...options.headers };
  return fetch(address, { ...options, headers });
}
