// @ts-check
// Light or dark: as the system is set, until the author chooses (stored in this browser).

const KEPT = 'storyboard colours';

/** @param {boolean} dark */
function apply(dark) {
  document.body.classList.toggle('dark', dark);
  document.documentElement.style.colorScheme = dark ? 'dark' : 'light';
}

const asked = new URL(location.href).searchParams.get('__theme');
const kept = localStorage.getItem(KEPT);
const system = matchMedia('(prefers-color-scheme: dark)');
const wanted = asked ?? kept;
apply(wanted ? wanted === 'dark' : system.matches);
system.addEventListener('change', () => localStorage.getItem(KEPT) ?? apply(system.matches));

/** Turns light into dark and dark into light. */
export function chooseTheme() {
  const dark = !document.body.classList.contains('dark');
  localStorage.setItem(KEPT, dark ? 'dark' : 'light');
  apply(dark);
}
