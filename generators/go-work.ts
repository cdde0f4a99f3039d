import { posix } from 'node:path';
import { type Tree, visitNotIgnoredFiles } from '@nx/devkit';
import { parseWorkFile } from '../go/modfile';

/** Folders with a file of this name, `/`-separated, the root being `.`; without those that Go itself passes by. Sorted. */
export function foldersWith(tree: Tree, name: 'go.mod' | 'go.work' | 'go.deps.json'): string[] {
  const found: string[] = [];
  visitNotIgnoredFiles(tree, '.', (file) => {
    const folders = file.split(/[\\/]/);
    if (folders.pop() !== name) return;
    if (folders.some((folder) => /^(vendor|testdata|node_modules|_.*|\..+)$/.test(folder))) return;
    found.push(folders.join('/') || '.');
  });
  return found.sort();
}

/** go.work with the folder in its `use` list, every other byte as it was. https://go.dev/ref/mod#go-work-file-use */
export function withUse(text: string, directory: string): string {
  const use = directory === '.' ? '.' : `./${directory}`;
  if (parseWorkFile(text, 'go.work').uses.some((used) => posix.resolve('/', used) === posix.resolve('/', use)))
    return text;
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  const written = /[\s"'`()]|\/\//.test(use) ? JSON.stringify(use) : use;
  const block = /^[ \t]*use[ \t]*\((?:[^\n]*\n)+?(?=[ \t]*\))/m.exec(text);
  if (block) {
    const end = block.index + block[0].length;
    return `${text.slice(0, end)}\t${written}${newline}${text.slice(end)}`;
  }
  return `${text}${text.endsWith('\n') ? '' : newline}${newline}use ${written}${newline}`;
}

/** go.work without the line of one of its uses (`use` as it is written there), every other byte as it was. */
export function withoutUse(text: string, use: string): string {
  const wanted = parseWorkFile(text, 'go.work').uses.filter((used) => used !== use);
  const lines = text.split('\n');
  for (const [index, line] of lines.entries()) {
    if (!line.includes(use)) continue;
    const rest = lines.filter((_, other) => other !== index).join('\n');
    if (isList(rest, wanted)) return rest;
  }
  return text;
}

function isList(text: string, wanted: readonly string[]): boolean {
  try {
    return JSON.stringify(parseWorkFile(text, 'go.work').uses) === JSON.stringify(wanted);
  } catch {
    return false;
  }
}
