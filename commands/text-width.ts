/** @returns how many columns of a terminal the text takes: Korean, Chinese and Japanese characters take two */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text)
    width += /[\u1100-\u115f\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uff60]/u.test(character) ? 2 : 1;
  return width;
}
