// Server-sent events with a light that tells the truth. A hidden tab gives its connection back (a browser has six for a
// site, and each holds a thread of the server) and catches up from its last id when it is looked at again.
const POLL_MS = 15000;

// url(lastId) → stream; twin → address of the JSON twin, asked while the stream is refused; onPoll gets its data.
export function listen({ url, event, onEvent, twin, onPoll }) {
  const light = document.querySelector(".live");
  let source = null;
  let lastId = "";
  let timer = 0;

  function show(state) {
    if (light.dataset.live === state) return;
    light.dataset.live = state;
    light.querySelector(".text").textContent = light.dataset[`text${state[0].toUpperCase()}${state.slice(1)}`];
  }

  function open() {
    clearTimeout(timer);
    source = new EventSource(url(lastId));
    source.onopen = () => show("live");
    source.addEventListener(event, (message) => {
      lastId = message.lastEventId || lastId;
      onEvent(JSON.parse(message.data));
    });
    source.onerror = () => {
      if (source && source.readyState === EventSource.CLOSED) refused();
      else show("waiting");
    };
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  async function refused() {
    close();
    let answer = null;
    try {
      answer = await fetch(twin, { headers: { Accept: "application/json" } });
    } catch {
      show("waiting");
    }
    if (answer?.status === 401) {
      show("ended");
      return;
    }
    if (answer?.ok) {
      show("polling");
      onPoll(await answer.json());
    }
    if (!document.hidden) timer = setTimeout(open, POLL_MS);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
      show("waiting");
    } else if (!source && light.dataset.live !== "ended") {
      open();
    }
  });
  addEventListener("pagehide", close);
  if (!document.hidden) open();
}
