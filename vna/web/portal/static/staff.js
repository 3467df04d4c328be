// A page whose state changes looks again by itself; what did not change stays as it is, so that
// nothing is read out twice and nobody loses their place. Everything works without scripts.
"use strict";

function fresh() { // the page as it is by now; read by the browser, since our policy lets no script do so
  return new Promise((give) => {
    const ask = new XMLHttpRequest();
    ask.open("GET", location.pathname);
    ask.responseType = "document";
    ask.setRequestHeader("accept", "text/html");
    ask.onload = () => give(ask.status === 200 ? ask.responseXML : null);
    ask.onerror = () => give(null);
    ask.send();
  });
}

async function look() {
  const live = document.getElementById("live");
  if (!live || !live.dataset.reload) return;
  const page = await fresh();
  if (page) {
    const now = page.getElementById("live");
    if (now && !now.dataset.reload) return location.reload();
    if (now && !now.isEqualNode(live)) live.replaceChildren(...now.childNodes);
  }
  setTimeout(look, Number(live.dataset.reload));
}
const first = document.getElementById("live");
if (first && first.dataset.reload) setTimeout(look, Number(first.dataset.reload));
