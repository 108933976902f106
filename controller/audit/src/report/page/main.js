// Starts the page, and what belongs to no section: keys and the theme.

for (const element of document.querySelectorAll(".with-program")) element.hidden = false;

const themeButton = document.getElementById("theme");
const darkScheme = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : darkScheme.matches;
}

function nameTheme() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", `Use ${isDark() ? "light" : "dark"} colours`);
}

themeButton.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
});
darkScheme.addEventListener("change", nameTheme);
nameTheme();

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=radio], [type=checkbox]), select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    searchField.focus();
    searchField.select();
  } else if (event.key === "Escape") {
    if (details.open) closeDetails(true);
    else if (event.target === searchField && searchField.value) {
      searchField.value = "";
      applyFilter();
    }
  }
});

applyFilter();
renderGraph();
showTarget();
if (performance.getEntriesByType("navigation")[0]?.type === "navigate") arrive(targetOf(location.hash));
