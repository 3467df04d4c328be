// The tablet of the waiting room. A page nobody touches begins anew, and what was typed is gone; the
// server ends the tablet's time in any case.
"use strict";

const idle = document.querySelector("[data-reset]");
const form = document.querySelector("form[data-asked]");
const LAST_MS = 20000; // of the time, in which the page asks whether somebody is there
let timer = 0;

function wait() {
  clearTimeout(timer);
  idle.hidden = true;
  timer = setTimeout(ask, Number(idle.dataset.reset) * 1000 - LAST_MS);
}

function ask() {
  idle.hidden = false;
  idle.querySelector("button").focus({ preventScroll: true }); // scrolling would be taken for a hand
  timer = setTimeout(() => { if (form) form.reset(); location.replace("/kiosk"); }, LAST_MS);
}

for (const sign of ["pointerdown", "keydown", "input", "scroll"]) {
  addEventListener(sign, wait, { passive: true });
}
wait();

// what is asked only of a yes
const more = document.querySelector("[data-if-yes]");
if (more) {
  const yes = form.querySelector("[data-yes]");
  const show = () => { more.hidden = !yes.checked; };
  form.addEventListener("change", show);
  show();
}
addEventListener("pageshow", (shown) => { if (shown.persisted) location.replace("/kiosk"); });
