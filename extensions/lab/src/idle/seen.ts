/* Whether a person has something before their eyes: the page, and what is in it. */

/** Return whether this page is shown: not in a hidden tab, nor in a frame that is put away, as by the workbench. */
export function isPageShown(): boolean {
  if (document.hidden) return false;
  for (let frame: Window = window; frame !== frame.parent; frame = frame.parent) {
    const element = frame.frameElement; // null: the page around is another site's, and tells nothing
    if (element === null) return true;
    if (!element.checkVisibility({ visibilityProperty: true })) return false;
  }
  return true;
}

/** Return whether an element is on the screen of a page that is shown. */
export function isShown(element: Element | null): boolean {
  if (element === null || !isPageShown()) return false;
  if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) return false;
  const { top, bottom, left, right, width, height } = element.getBoundingClientRect();
  return width > 0 && height > 0 && bottom > 0 && right > 0 && top < innerHeight && left < innerWidth;
}
