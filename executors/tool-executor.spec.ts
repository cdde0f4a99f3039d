import { WholeLines } from './tool-executor';

it('prints whole lines of what comes in pieces, each stream for itself, and at the end what is left', () => {
  const printed: string[] = [];
  const lines = new WholeLines((text, stream) => printed.push(`${stream}: ${text}`));
  for (const byte of Buffer.from('one\n\ntwo ☃ thr')) lines.add(Buffer.of(byte), 'stdout');
  lines.add(Buffer.from('oh'), 'stderr');
  lines.add(Buffer.from('ee\nfour\nfi'), 'stdout');
  expect(printed).toEqual(['stdout: one\n', 'stdout: \n', 'stdout: two ☃ three\nfour\n']);
  lines.end();
  expect(printed.slice(3)).toEqual(['stdout: fi\n', 'stderr: oh\n']);
});
