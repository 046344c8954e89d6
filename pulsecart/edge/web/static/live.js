// One live stream that reconnects after every failure: an EventSource reconnects after a broken connection, but stops
// at an answer that is not an event stream (a proxy's 502 while the server restarts). Then a new one is created, from
// the last id, after a growing pause.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const LONGEST_LIFE_MS = 330_000; // the server ends every stream before that; a longer silence is a dead connection

/** Shows the states, and calls `again` to reload what the page missed while the stream was lost or the tab was hidden. */
export function whenBack(tellState, again) {
  let lost = false;
  document.addEventListener("visibilitychange", () => document.hidden || again());
  return (state) => {
    tellState(state);
    if (state === "live" && lost) again();
    lost = state === "waiting" || (lost && state !== "live");
  };
}

/**
 * @param {string} path
 * @param {Object<string, (data: object) => void>} handlers by event name; `problem` is the last event
 * @param {(state: "connecting" | "live" | "waiting" | "stopped") => void} tellState
 * @returns {{stop: () => void}}
 */
export function follow(path, handlers, tellState = () => {}) {
  let source = null;
  let lastId = "";
  let pauseMs = FIRST_PAUSE_MS;
  let timer = 0;
  let watchdog = 0;
  let stopped = false;

  function open() {
    clearTimeout(timer);
    close();
    if (stopped || document.hidden) return;
    source = new EventSource(lastId ? `${path}?last_event_id=${encodeURIComponent(lastId)}` : path);
    source.onopen = alive;
    source.onerror = failed;
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => received(name, event, handle));
    }
    if (!handlers.problem) source.addEventListener("problem", (event) => received("problem", event, () => {}));
    alive();
  }

  function received(name, event, handle) {
    pauseMs = FIRST_PAUSE_MS;
    alive();
    if (name === "problem") {
      stop();
    } else {
      if (event.lastEventId) lastId = event.lastEventId;
      tellState("live");
    }
    handle(JSON.parse(event.data));
  }

  function failed() {
    tellState("waiting");
    if (source.readyState !== EventSource.CLOSED) return; // it reconnects by itself
    close();
    timer = setTimeout(open, pauseMs * (0.5 + Math.random() / 2));
    pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
  }

  function alive() {
    clearTimeout(watchdog);
    watchdog = setTimeout(open, LONGEST_LIFE_MS);
  }

  function close() {
    clearTimeout(watchdog);
    if (source) source.close();
    source = null;
  }

  function stop() {
    stopped = true;
    clearTimeout(timer);
    close();
    document.removeEventListener("visibilitychange", shown);
    window.removeEventListener("online", open);
    tellState("stopped");
  }

  // A browser allows six connections to a server in all tabs together: a hidden page holds none.
  function shown() {
    if (document.hidden) close();
    else open();
  }

  document.addEventListener("visibilitychange", shown);
  window.addEventListener("online", open);
  tellState("connecting");
  open();
  return { stop };
}
