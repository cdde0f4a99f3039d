import { parseEnvFile } from './env-file';

describe('a file of environment variables', () => {
  const inherited = { HERE: 'value', EMPTY: '' };

  it('is read in docker format: quotes and dollars mean themselves, a name alone is inherited where it has a value', () => {
    const text =
      '\uFEFF# comment\r\n\nA="quoted $X"\r\n  B=1 # not a comment \n\t#comment\nHERE\nEMPTY\nGONE\nC=\nD=b=c';
    expect(parseEnvFile(text, 'x.env', inherited)).toEqual([
      'A="quoted $X"',
      'B=1 # not a comment ',
      'HERE=value',
      'EMPTY=',
      'C=',
      'D=b=c',
    ]);
  });

  it.each([
    ['export B=2', 'the name holds white space'],
    ['=x', 'it has no name'],
  ])('is refused with file and line for %s', (line, why) => {
    expect(() => parseEnvFile(`A=1\n${line}\n`, 'app/x.env', {})).toThrow(
      `app/x.env:2: "${line}" is no environment variable: ${why}.`,
    );
  });
});
