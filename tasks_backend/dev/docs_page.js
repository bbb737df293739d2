// Selects the development user for the page's requests. Served by `dev` only.
"use strict";

const SCHEME = "bearerAuth";
const USER_STORAGE_KEY = "tasks-backend-try-as"; // stores a name, never a token

const bar = document.createElement("p");
bar.className = "development";
bar.innerHTML = `<strong>Development</strong> <label>Try it as
  <select>
    <option>alice</option>
    <option>bob</option>
    <option value="">nobody (no token)</option>
    <option value="own" disabled>the pasted token's user</option>
  </select></label>
  <span role="status"></span>`;
const [choice, status] = [bar.querySelector("select"), bar.querySelector("span")];
let issued = null;

const token = () => ui.authSelectors.authorized()?.getIn([SCHEME, "value"]);

async function switchUser(user) {
  sessionStorage.setItem(USER_STORAGE_KEY, user);
  if (token()) ui.authActions.logout([SCHEME]);
  if (!user) return;
  const response = await fetch(`docs/token?user=${user}`);
  if (!response.ok) return showNoToken();
  issued = { user, token: (await response.json()).token };
  ui.preauthorizeApiKey(SCHEME, issued.token);
}

function showNoToken() {
  const { host } = location;
  bar.textContent = `No token is offered at ${host}: open 127.0.0.1, or paste the printed token.`;
}

function updateBar() {
  const current = token();
  choice.value = !current ? "" : current === issued?.token ? issued.user : "own";
  status.textContent = {
    "": "Operations with a lock respond with 401.",
    own: "Your token is discarded when the page reloads.",
  }[choice.value] ?? "The page gets a new token each time it loads.";
}

addEventListener("ui-ready", async () => {
  document.body.prepend(bar);
  choice.addEventListener("change", () => switchUser(choice.value));
  await switchUser(sessionStorage.getItem(USER_STORAGE_KEY) ?? "alice");
  ui.getStore().subscribe(updateBar);
  updateBar();
}, { once: true });
