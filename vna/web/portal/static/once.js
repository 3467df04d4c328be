// A form is sent once, however often its button is pressed: the answer to the first press may hold
// what is shown only once, and a browser lets go of it for the answer to the second.
"use strict";

const AGAIN_MS = 30000; // whoever waits so long for an answer may press again
const under_way = new Map();

function over(form) {
  clearTimeout(under_way.get(form));
  under_way.delete(form);
  form.removeAttribute("aria-busy");
}
addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || "file" in form.dataset) return; // a file leaves the page as it is
  if (under_way.has(form)) { event.preventDefault(); return; }
  form.setAttribute("aria-busy", "true");
  under_way.set(form, setTimeout(() => over(form), AGAIN_MS));
});
// back through the history: the page is as it was
addEventListener("pageshow", () => { for (const form of [...under_way.keys()]) over(form); });
