"use strict";
// Renews the parts of a page that are marked, shows times in the zone of the browser, and listens
// to keys. Every page works without it.
(() => {
  const prefix = document.body.dataset.prefix;
  const every = 3000; // milliseconds between two looks
  const rarely = 10000; // where the daemon tells of changes
  const banner = document.getElementById("banner");
  const live = document.getElementById("live");

  // -------------------------------------------------------------- times

  const pad = (number) => String(number).padStart(2, "0");
  const day = (at) => `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  const clock = (at) => `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;

  const span = (seconds) => {
    const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    const [size, name] = units.find(([size]) => seconds >= size) || [1, "s"];
    return `${Math.floor(seconds / size)} ${name}`;
  };
  const ago = (seconds) => {
    const past = span(Math.abs(seconds));
    return Math.abs(seconds) < 1 ? "now" : seconds < 0 ? `in ${past}` : `${past} ago`;
  };

  // How far this clock is from the daemon's, unless that is no more than a page takes to come.
  let off = 0;
  const compare = (body) => {
    const found = Number(body.dataset.now) - Date.now();
    off = Math.abs(found) > 5000 ? found : 0;
  };
  compare(document.body);

  const tellTimes = (root) => {
    const now = Date.now() + off;
    const today = day(new Date(now));
    for (const each of root.querySelectorAll("time[datetime]")) {
      const at = new Date(each.getAttribute("datetime"));
      if (Number.isNaN(at.getTime())) continue;
      if (each.dataset.as === "ago") each.textContent = ago((now - at) / 1000);
      else if (each.dataset.as === "for") each.textContent = `For ${span(Math.max(0, (now - at) / 1000))}`;
      else if (each.dataset.as === "clock" || day(at) === today) each.textContent = clock(at);
      else each.textContent = `${day(at)} ${clock(at)}`;
    }
  };

  // -------------------------------------------------------------- live

  const say = (text) => {
    banner.textContent = text;
    banner.hidden = !text;
  };

  const isUsed = (region) => {
    const used = region.querySelector("details.do-more[open], input:focus, select:focus, button:focus");
    const selection = window.getSelection();
    const selects = selection && !selection.isCollapsed && region.contains(selection.anchorNode);
    return Boolean(used) || Boolean(selects);
  };

  // Rows keep their focus, what somebody has opened or closed stays so, and what he has scrolled, too.
  const put = (old, fresh) => {
    const focused = old.contains(document.activeElement) && document.activeElement.getAttribute("href");
    const opened = new Map([...old.querySelectorAll("details[id]")].map((each) => [each.id, each.open]));
    const scrolled = [...old.querySelectorAll("pre, .scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
    for (const each of fresh.querySelectorAll("details[id]"))
      if (opened.has(each.id)) each.open = opened.get(each.id);
    const boxes = [...fresh.querySelectorAll("pre, .scroll")];
    old.replaceChildren(...fresh.childNodes);
    if (boxes.length === scrolled.length)
      boxes.forEach((each, at) => { [each.scrollLeft, each.scrollTop] = scrolled[at]; });
    if (focused) {
      const link = [...old.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused);
      if (link) link.focus({ preventScroll: true });
    }
  };

  const last = new Map();
  let since = null;
  let seen = document.body.dataset.state; // the state of the store that the page was made of

  const renew = async () => {
    const regions = [...document.querySelectorAll("[data-live]")];
    if (!regions.length || document.hidden || document.body.dataset.still) return;
    let page;
    try {
      const answer = await fetch(location.href, { headers: { "X-Fragment": "1" }, cache: "no-store" });
      if (answer.status === 401) {
        location.reload();
        return;
      }
      page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!answer.ok) {
        const problem = page.getElementById("problem");
        throw new Error(problem ? problem.textContent : `status ${answer.status}`);
      }
    } catch (error) {
      since = since || new Date();
      const reason = error instanceof TypeError ? "the daemon does not answer" : error.message;
      say(`Not live since ${clock(since)}: ${reason}. What you see is of that time.`);
      live.textContent = "";
      return;
    }
    since = null;
    compare(page.body);
    say("");
    live.textContent = "Live.";
    const behind = regions.filter(isUsed);
    if (!behind.length) seen = page.body.dataset.state;
    for (const region of regions) {
      const fresh = page.getElementById(region.id);
      if (!fresh || behind.includes(region)) continue;
      const text = fresh.innerHTML;
      if (last.get(region.id) !== text) {
        last.set(region.id, text);
        put(region, fresh);
        ready(region);
      }
      tellTimes(region);
    }
    const title = page.querySelector("title");
    if (title) document.title = title.textContent;
  };

  // One look at a time, and not more than one in two seconds, however much happens.
  let looked = 0;
  let planned = null;
  const plan = (wait) => {
    const at = Math.max(Date.now() + wait, looked + 2000);
    if (planned && planned.at <= at) return;
    if (planned) clearTimeout(planned.timer);
    planned = { at, timer: setTimeout(go, at - Date.now()) };
  };
  const go = async () => {
    planned = null;
    looked = Date.now();
    await renew();
    looked = Date.now();
    plan((streams && !document.querySelector("[data-often]") ? rarely : every) + Math.random() * 500);
  };

  // -------------------------------------------------------------- changes

  // A browser opens six connections to a host, over all its tabs: one tab that is seen has the
  // stream, and tells the others. Where browsers have no locks (plain http), each tab asks by itself.
  // What is told is a change, or the state that there is: a page of that state misses nothing.
  let streams = false;
  let now = null; // the state as the stream of this tab has told it last
  const told = "BroadcastChannel" in window && new BroadcastChannel(`asyncmqd${prefix}`);
  const tell = (message) => { if (told) told.postMessage(message); };
  const hear = (state) => {
    streams = true;
    if (state !== seen) plan(0);
  };
  if (told) {
    told.onmessage = ({ data }) => {
      if (data !== "state?") hear(data);
      else if (now) tell(now);
    };
    tell("state?"); // who has a stream knows what has changed since this page was made
  }

  const untilHidden = () =>
    new Promise((resolve) => {
      const look = () => {
        if (!document.hidden) return;
        document.removeEventListener("visibilitychange", look);
        resolve();
      };
      document.addEventListener("visibilitychange", look);
      look();
    });

  const stream = () => {
    const source = new EventSource(`${prefix}/live`);
    source.addEventListener("state", ({ data }) => {
      now = data;
      tell(now);
      hear(now);
    });
    source.onmessage = ({ data }) => {
      now = data;
      tell(null);
      hear(null);
    };
    source.onopen = () => { streams = true; };
    source.onerror = () => { streams = false; };
    return source;
  };

  // A browser comes back by itself after a lost connection. After an answer that is no stream, such
  // as that of a proxy while the daemon restarts, it has given up.
  const listen = async () => {
    let source = stream();
    const look = setInterval(() => {
      if (source.readyState === EventSource.CLOSED) source = stream();
    }, rarely);
    await untilHidden();
    clearInterval(look);
    source.close();
    streams = false;
    now = null;
  };

  let asks = false;
  const follow = () => {
    if (document.hidden || asks || !navigator.locks || !("EventSource" in window)) return;
    asks = true;
    navigator.locks.request(`asyncmqd${prefix}`, listen).finally(() => { asks = false; });
  };

  // -------------------------------------------------------------- keys and buttons

  const copy = async (text, button) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Plain http has no clipboard: the text is selected instead.
      const code = button.previousElementSibling;
      if (code) window.getSelection().selectAllChildren(code);
      button.textContent = "Press Ctrl+C";
      return;
    }
    button.textContent = "Copied";
  };

  const ready = (root) => {
    for (const each of root.querySelectorAll("button.copy")) each.hidden = false;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest && event.target.closest("button.copy");
    if (button) copy(button.dataset.copy, button);
  });

  const rows = () => [...document.querySelectorAll("tr[data-row] a:first-of-type")];
  const step = (by) => {
    const all = rows();
    const firsts = all.filter((a, at) => at === 0 || a.closest("tr") !== all[at - 1].closest("tr"));
    if (!firsts.length) return;
    const row = document.activeElement.closest && document.activeElement.closest("tr");
    const at = firsts.findIndex((a) => a.closest("tr") === row);
    firsts[Math.max(0, Math.min(firsts.length - 1, at < 0 ? 0 : at + by))].focus();
  };

  const places = { o: "/", j: "/jobs", d: "/dead", s: "/schedules", l: "/limits", m: "/daemons", a: "/audit" };
  let goes = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, select, textarea");
    if (event.key === "Escape") {
      if (typing) typing.blur();
      for (const each of document.querySelectorAll("details.do-more[open]")) each.open = false;
      return;
    }
    if (typing) return;
    if (Date.now() - goes < 1500 && event.key in places) {
      goes = 0;
      location.assign(prefix + places[event.key]);
      return;
    }
    goes = 0;
    switch (event.key) {
      case "?": location.assign(`${prefix}/keys`); break;
      case "g": goes = Date.now(); break;
      case "j": step(1); break;
      case "k": step(-1); break;
      case "/": {
        const field = document.querySelector(".filters input:not([type=hidden])") || document.getElementById("find");
        if (field) {
          field.focus();
          event.preventDefault();
        }
        break;
      }
    }
  });


  // What was done is said once: neither when the page is loaded again, nor when one comes back.
  const address = new URL(location.href);
  if (address.searchParams.has("done")) {
    address.searchParams.delete("done");
    history.replaceState(null, "", address);
  }

  const zone = document.getElementById("zone");
  const named = Intl.DateTimeFormat().resolvedOptions().timeZone || "your zone";
  if (zone && named !== "UTC") zone.textContent = `Times are in ${named}; UTC when you point at them.`;
  tellTimes(document);
  ready(document);
  if (document.querySelector("[data-live]")) {
    plan(every);
    follow();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      plan(0);
      follow();
    });
  }
})();
