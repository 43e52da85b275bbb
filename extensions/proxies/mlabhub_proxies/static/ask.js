/**
 * Ask this server something: `fetch` with the token of this page. JupyterHub wants it from every script, for reading
 * as well, because pages of other people's servers come from the same address. A page that is not ours has it in its
 * cookie.
 */
export function ask(address, options = {}) {
  const cookie = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/)?.[1] ?? "";
  const token = document.querySelector('meta[name="xsrf-token"]')?.content ?? decodeURIComponent(cookie);
  const headers = { Accept: "application/json", "X-XSRFToken": token, ...options.headers };
  return fetch(address, { ...options, headers });
}
