/* The plugin, in the form in which JupyterLab loads one that was built elsewhere: a "container" with `init` and `get`
(docs of JupyterLab, "Prebuilt extensions"; webpack's module federation). It needs none of JupyterLab's own modules, so
written by hand it is these lines, and no image pays for a builder. */
(() => {
  const here = document.currentScript.src;

  const plugin = {
    id: "mlabhub-lab:lasting",
    description: "Lets kernels, terminals and saving outlast a cut line.",
    autoStart: true,
    async activate(app) {
      const settings = app.serviceManager.serverSettings;
      const [{ getLine }, { lastingFetch, lastingWebSocket }] = await Promise.all([
        import(new URL("mlabhub/static/line.js", settings.baseUrl)),
        import(new URL("lasting.js", here)),
      ]);
      // Looking for changes, as this page does by itself, is nothing that a person did: the page tells what is.
      import(new URL("mlabhub/static/use.js", settings.baseUrl))
        .then(({ reportUse }) => reportUse(new URL("mlabhub/api/touched/lab", settings.baseUrl).href).now())
        .catch(() => {});
      const line = getLine(settings.baseUrl);
      settings.WebSocket = lastingWebSocket(line);
      settings.fetch = lastingFetch(line);
    },
  };

  window._JUPYTERLAB ??= {};
  window._JUPYTERLAB["mlabhub-lab"] = {
    init() {},
    async get(module) {
      if (module !== "./extension") throw new Error(`no such module: ${module}`);
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
