// What the pages need beside htmx: counters that go on, folds that stay as they
// are when a part is brought up to date, one submit per form, a copy button and
// a word on whether the page is live. Everything works without it.
(function () {
  'use strict';

  // The server's clock, not the reader's, is what times are reckoned by.
  var served = Date.parse(document.body.dataset.now || '');
  var ahead = isNaN(served) ? 0 : served - Date.now();
  function now() { return Date.now() + ahead; }

  function two(n) { return (n < 10 ? '0' : '') + n; }

  function countdown(ms) {
    var s = Math.max(0, Math.round(ms / 1000)), d = Math.floor(s / 86400);
    var text = two(Math.floor(s / 3600) % 24) + ':' + two(Math.floor(s / 60) % 60) + ':' + two(s % 60);
    return d > 0 ? d + ' d ' + text : text;
  }

  function pair(a, unitA, b, unitB) { return a + ' ' + unitA + (b ? ' ' + b + ' ' + unitB : ''); }

  function short(ms) {
    var s = Math.floor(Math.abs(ms) / 1000), m = Math.floor(s / 60), h = Math.floor(m / 60);
    if (s < 60) { return s + ' s'; }
    if (m < 60) { return m + ' min'; }
    if (h < 24) { return pair(h, 'h', m % 60, 'min'); }
    return pair(Math.floor(h / 24), 'd', h % 24, 'h');
  }

  function relative(ms) {
    if (Math.abs(ms) < 1000) { return 'now'; }
    return ms < 0 ? short(ms) + ' ago' : 'in ' + short(ms);
  }

  function put(node, text) { if (node.textContent !== text) { node.textContent = text; } }

  function tick() {
    var at = now();
    document.querySelectorAll('time[data-countdown]').forEach(function (node) {
      put(node, countdown(Date.parse(node.dateTime) - at));
    });
    document.querySelectorAll('time[data-relative]').forEach(function (node) {
      put(node, relative(Date.parse(node.dateTime) - at));
    });
  }
  setInterval(tick, 1000);

  // On a narrow window the bar scrolls; show where we are.
  var here = document.querySelector('.top [aria-current]');
  if (here) { here.scrollIntoView({ block: 'nearest', inline: 'center' }); }

  // Folds keep their state when the stream sends their part again.
  var folds = {};
  function keepFolds(part) {
    part.querySelectorAll('details[id]').forEach(function (node) { folds[node.id] = node.open; });
  }
  document.body.addEventListener('htmx:sseBeforeMessage', function (event) { keepFolds(event.target); });
  document.body.addEventListener('htmx:sseMessage', function (event) {
    event.target.querySelectorAll('details[id]').forEach(function (node) {
      if (node.id in folds) { node.open = folds[node.id]; }
    });
    tick();
    live('Live', 'on');
  });

  // A part that is replaced under a pressed pointer loses the click: it waits
  // until the pointer is up. A list asks again, the stream's parts are kept.
  var pressed = null, late = [];
  document.addEventListener('pointerdown', function (event) { pressed = event.target; }, true);
  ['pointerup', 'pointercancel'].forEach(function (name) {
    document.addEventListener(name, function () {
      setTimeout(function () { // after the click
        pressed = null;
        late.splice(0).forEach(function (again) { again(); });
      }, 0);
    }, true);
  });
  document.body.addEventListener('htmx:beforeSwap', function (event) {
    var asked = event.detail.requestConfig.elt;
    if (!event.detail.target.contains(pressed) || !asked.hasAttribute('hx-get')) { return; }
    event.detail.shouldSwap = false;
    late.push(function () { htmx.trigger(asked, 'submit'); });
  });
  document.body.addEventListener('htmx:sseBeforeMessage', function (event) {
    var part = event.target, message = event.detail;
    if (!part.contains(pressed)) { return; }
    event.preventDefault();
    late.push(function () {
      keepFolds(part);
      htmx.swap(part, message.data, { swapStyle: 'innerHTML', swapDelay: 0, settleDelay: 0 });
      htmx.trigger(part, 'htmx:sseMessage', message);
    });
  });

  function live(text, state) {
    var node = document.querySelector('[data-live]');
    if (!node) { return; }
    node.hidden = false;
    node.className = 'live ' + state;
    put(node, text);
  }
  var ended = false;
  document.body.addEventListener('htmx:sseOpen', function () { live('Live', 'on'); });
  document.body.addEventListener('htmx:sseError', function () {
    if (!ended) { live('Not live: trying to reach the server', 'off'); }
  });
  document.body.addEventListener('htmx:sseClose', function () {
    ended = true;
    live('Signed out: open the page again', 'off');
  });

  // A form is sent once. Its buttons go after the browser has read them.
  document.addEventListener('submit', function (event) {
    var form = event.target;
    if (event.defaultPrevented || !form.hasAttribute('data-once')) { return; }
    setTimeout(function () {
      form.querySelectorAll('button[type=submit]').forEach(function (button) { button.disabled = true; });
    }, 0);
  });
  window.addEventListener('pageshow', function (event) {
    if (!event.persisted) { return; }
    document.querySelectorAll('form[data-once] button[type=submit]').forEach(function (button) { button.disabled = false; });
  });

  document.querySelectorAll('button[data-copy]').forEach(function (button) {
    var field = document.getElementById(button.dataset.copy);
    var word = button.parentNode.querySelector('[data-copied]');
    if (!field) { return; }
    button.hidden = false;
    button.addEventListener('click', function () {
      field.select();
      var done = function () { put(word, 'Copied.'); };
      var byHand = function () { put(word, 'Selected: copy it with the keyboard.'); };
      if (navigator.clipboard) { navigator.clipboard.writeText(field.value).then(done, byHand); } else { byHand(); }
    });
  });
})();
