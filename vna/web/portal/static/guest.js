// Pages of who was sent a link. Without scripts a code can be typed; everything else works as well.
"use strict";

// The link's secret stands after #, which is sent to nobody: into the form with it, and out of the
// address line, so that it is not left in the history.
const link = document.querySelector("form[data-link]");
function take() {
  const secret = location.hash.slice(1), field = link.elements.link;
  if (!secret || document.getElementById(secret)) return; // a place on the page
  field.value = secret;
  field.closest("label").hidden = true;
  document.querySelector("[data-with-link]").hidden = false;
  document.querySelector("[data-without-link]").hidden = true;
  history.replaceState(null, "", location.pathname);
  (link.querySelector("input.code:not([name=link])") || link.querySelector("button")).focus();
}
if (link) {
  take();
  addEventListener("hashchange", take); // another link, into the window where this page stands
}

// A code can be asked for again after a while; the server counts, this only says so.
for (const button of document.querySelectorAll("[data-wait]")) {
  const text = button.textContent;
  const until = Date.now() + Number(button.dataset.wait) * 1000;
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    button.disabled = left > 0;
    button.textContent = left > 0 ? button.dataset.waitText.replace("{s}", left) : text;
    if (left > 0) setTimeout(tick, 1000);
  };
  tick();
}

// The browser may read the code out of the message itself (WebOTP).
const code = document.querySelector('input[autocomplete="one-time-code"]');
if (code && "OTPCredential" in window) {
  const stop = new AbortController();
  code.form.addEventListener("submit", () => stop.abort());
  navigator.credentials.get({ otp: { transport: ["sms"] }, signal: stop.signal })
    .then((found) => { code.value = found.code; code.form.requestSubmit(); })
    .catch(() => {});
}

const text = document.querySelector("[data-text]");
const copy = document.querySelector("[data-copy]");
if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", () => navigator.clipboard.writeText(text.textContent).then(() => {
    copy.textContent = copy.dataset.done;
  }));
}
const hand = document.querySelector("[data-hand-on]");
if (hand && navigator.share) {
  hand.hidden = false;
  hand.addEventListener("click", () => navigator.share({ title: hand.dataset.title, url: text.textContent }).catch(() => {}));
}

// How long a download takes here, and a warning where it may be dear.
const way = navigator.connection;
for (const size of document.querySelectorAll("[data-size]")) {
  const time = size.parentElement.querySelector("[data-time]");
  if (!time || !way || !way.downlink) continue;
  const minutes = (Number(size.dataset.size) * 8) / (way.downlink * 1e6) / 60;
  time.textContent = time.dataset.words.replace("{time}", minutes < 1 ? "< 1 min" : `${Math.ceil(minutes)} min`);
  if (Number(size.dataset.size) > 2e8 && (way.type === "cellular" || way.saveData)) {
    document.querySelector("[data-mobile]").hidden = false;
  }
}
