// Residues and regions of the editor are buttons. A click, or a drag over residues, frees or
// freezes them; arrow keys walk along the chain. What is free is sent as a list of places.
const residues = () => [...element.querySelectorAll('[data-at]')];
const free = () => residues().filter(b => b.getAttribute('aria-pressed') === 'true')
  .map(b => Number(b.dataset.at));
const press = (buttons, on) => buttons.forEach(b => b.setAttribute('aria-pressed', String(on)));
const send = () => trigger('select', {free: free()});
const enter = () => { const first = element.querySelector('[data-at]'); if (first) first.tabIndex = 0; };

let painting = null;
element.addEventListener('pointerdown', event => {
  const residue = event.target.closest('[data-at]');
  if (!residue || event.button !== 0) return;
  painting = residue.getAttribute('aria-pressed') !== 'true';
  press([residue], painting);
  residue.releasePointerCapture?.(event.pointerId);
});
element.addEventListener('pointerover', event => {
  const residue = event.target.closest('[data-at]');
  if (painting !== null && residue) press([residue], painting);
});
document.addEventListener('pointerup', () => {
  if (painting === null) return;
  painting = null;
  send();
});
element.addEventListener('click', event => {
  const region = event.target.closest('[data-from]');
  if (!region) return;
  const inside = residues().filter(b => +b.dataset.at >= +region.dataset.from && +b.dataset.at < +region.dataset.to);
  press(inside, region.getAttribute('aria-pressed') !== 'true');
  send();
});
element.addEventListener('keydown', event => {
  const residue = event.target.closest('[data-at]');
  if (!residue) return;
  if (event.key === ' ' || event.key === 'Enter') {
    event.preventDefault();
    press([residue], residue.getAttribute('aria-pressed') !== 'true');
    send();
  }
  const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (!step) return;
  event.preventDefault();
  const all = residues();
  const next = all[all.indexOf(residue) + step];
  if (next) { residue.tabIndex = -1; next.tabIndex = 0; next.focus(); }
});
let focused = null;
element.addEventListener('focusin', event => {
  const button = event.target.closest('button');
  focused = button && (button.dataset.at ? `[data-at="${button.dataset.at}"]` : `[data-from="${button.dataset.from}"]`);
});
watch('value', () => {
  enter();
  const again = focused && document.activeElement === document.body && element.querySelector(focused);
  if (again) { again.tabIndex = 0; again.focus(); }
});
enter();
