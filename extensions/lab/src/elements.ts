/* Makes elements: text is always text, and never markup. */

type Attributes = Readonly<Record<string, string>>;

export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export function button(text: string, look: string, onClick: () => void): HTMLButtonElement {
  const made = make("button", { type: "button", class: `jp-mod-styled ${look}` }, text);
  made.addEventListener("click", onClick);
  return made;
}
