// Say what the hub's own JavaScript writes in the reader's language: whole texts that we know, and nothing else.
// Loaded in the head, before that JavaScript: what it writes is said otherwise before it is seen.

(() => {
  const { words, shapes } = JSON.parse(document.getElementById("hub-words").textContent);
  const known = new Map(words);
  const patterns = shapes.map(([shape, said]) => [new RegExp(shape, "s"), said]);
  const attributes = ["placeholder", "title", "aria-label"];
  const ours = "main:not(#of-the-hub)";
  const names = `${ours}, [data-testid^=user-row-name], script, style, textarea`; // of ours, of people, of no page

  function translate(text) {
    const trimmed = text.trim();
    if (known.has(trimmed)) {
      return known.get(trimmed);
    }
    for (const [pattern, said] of patterns) {
      const found = pattern.exec(trimmed);
      if (found) {
        return said.replace(/\{(\w+)\}/g, (_, name) => found.groups[name]);
      }
    }
    return null;
  }

  function sayText(node) {
    const said = node.parentElement?.closest(names) ? null : translate(node.data);
    if (said !== null) {
      const [before, after] = [/^\s*/.exec(node.data)[0], /\s*$/.exec(node.data)[0]];
      node.data = before + said + after;
    }
  }

  function sayAttributes(element) {
    for (const name of attributes) {
      const said = element.hasAttribute(name) && !element.closest(ours) && translate(element.getAttribute(name));
      if (said) {
        element.setAttribute(name, said);
      }
    }
  }

  function say(root) {
    if (root.nodeType === Node.TEXT_NODE) {
      sayText(root);
    } else if (root.nodeType === Node.ELEMENT_NODE) {
      sayAttributes(root);
      for (const child of root.childNodes) {
        say(child);
      }
    }
  }

  for (const ask of ["confirm", "alert"]) {
    const native = window[ask].bind(window);
    window[ask] = (text) => native(translate(String(text)) ?? text);
  }
  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "childList") {
        change.addedNodes.forEach(say);
      } else {
        sayText(change.target);
      }
    }
  }).observe(document, { subtree: true, childList: true, characterData: true });
})();
