/** @returns how many columns of a terminal the text takes: a Korean syllable takes two */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text)
    width += /[\u1100-\u11ff\u3000-\u9fff\uac00-\ud7af\uff00-\uff60]/u.test(character) ? 2 : 1;
  return width;
}
