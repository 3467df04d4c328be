// Before the session ends for want of a sign of life, say so and let it be prolonged. Who is typing
// gives one: what they have typed would be lost with the session.
"use strict";

for (const idle of document.querySelectorAll("[data-idle]")) {
  let timer = 0, hasTyped = false;
  const stay = (over) => {
    fetch(idle.dataset.at, { redirect: "manual" })
      .then((answer) => (answer.ok ? wait() : over()))
      .catch(ask); // there is no connection just now: it can be pressed again
  };
  const ask = () => { idle.hidden = false; idle.querySelector("button").focus(); };
  const wait = () => {
    clearTimeout(timer);
    idle.hidden = true;
    hasTyped = false;
    timer = setTimeout(() => (hasTyped ? stay(ask) : ask()),
      Math.max(20, Number(idle.dataset.idle) - 120) * 1000);
  };
  addEventListener("input", () => { hasTyped = true; });
  idle.querySelector("[data-stay]").addEventListener("click", () => {
    stay(() => location.assign(idle.dataset.over));
  });
  wait();
}
