// A square of paper. What is drawn on it leaves only with a wish: `studioPad()` gives it as a data URL, "" if it is blank.
const canvas = element.querySelector('canvas');
const context = canvas.getContext('2d', { willReadFrequently: true });
const file = element.querySelector('input[type=file]');
let past = [];
let marked = false;
let last = null;
const blank = () => { context.fillStyle = '#fff'; context.fillRect(0, 0, canvas.width, canvas.height); marked = false; };
const remember = () => {
  past.push([context.getImageData(0, 0, canvas.width, canvas.height), marked]);
  past = past.slice(-20);
};
const at = (event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
};
const stroke = (from, to) => {
  context.strokeStyle = '#000';
  context.lineWidth = 15; // as thick as a stroke of the characters that the model learnt from
  context.lineCap = context.lineJoin = 'round';
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(...to);
  context.stroke();
  marked = true;
};
blank();
canvas.addEventListener('pointerdown', (event) => {
  if (event.button) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  remember();
  last = at(event);
  stroke(last, last);
});
canvas.addEventListener('pointermove', (event) => {
  if (!last) return;
  const now = at(event);
  stroke(last, now);
  last = now;
});
for (const name of ['pointerup', 'pointercancel']) canvas.addEventListener(name, () => { last = null; });
element.querySelector('[data-do=clear]').addEventListener('click', () => { remember(); blank(); });
element.querySelector('[data-do=undo]').addEventListener('click', () => {
  const before = past.pop();
  if (before) { context.putImageData(before[0], 0, 0); marked = before[1]; }
});
file.addEventListener('change', async () => {
  if (!file.files.length) return;
  try {
    const picture = await createImageBitmap(file.files[0]);
    remember();
    blank();
    const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    context.drawImage(picture, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
    marked = true;
    file.setCustomValidity('');
  } catch {
    file.setCustomValidity('This is no picture that can be read; choose a PNG, JPEG or WebP.');
    file.reportValidity();
  }
  file.value = '';
});
window.studioPad = () => (marked ? canvas.toDataURL('image/png') : '');
