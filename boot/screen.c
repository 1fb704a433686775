/* A cell is 8 by 16 points: a character of 5 by 8, each point two high, with room around it.
 *
 * The framebuffer is mapped write-combining and never read, which would take longer than drawing. `shown` remembers
 * what stands in each cell instead. At the last row the text moves up by a quarter of the screen, and only the cells
 * whose character changes are drawn. A screen with more cells than there is room to remember uses its upper left. */
#include <base/bits.h>
#include <base/string.h>
#include <boot/font.h>
#include <boot/screen.h>
#include <mem/valloc.h>

enum { CELL_WIDTH = 8, CELL_HEIGHT = 16, COLUMNS_MAX = 240, ROWS_MAX = 100, TAB = 8 };

static struct {
    uint8_t *points; /* NULL: there is no screen */
    uint32_t pitch_bytes, colour;
    unsigned point_bytes, columns, rows, row, column;
    char shown[ROWS_MAX][COLUMNS_MAX];
} state;

static void put_point(uint8_t *at, uint32_t colour) {
    for (unsigned i = 0; i < state.point_bytes; i++)
        at[i] = (uint8_t)(colour >> (8 * i));
}

static void draw_row(uint8_t *at, unsigned bits) {
    for (unsigned x = 0; x < CELL_WIDTH; x++)
        put_point(at + x * state.point_bytes, bits >> (CELL_WIDTH - 1 - x) & 1 ? state.colour : 0);
}

static void show(unsigned row, unsigned column, char character) {
    if (state.shown[row][column] == character)
        return;
    state.shown[row][column] = character;
    const uint8_t *glyph = font_rows[character - FONT_FIRST];
    uint8_t *at =
        state.points + (size_t)row * CELL_HEIGHT * state.pitch_bytes + column * CELL_WIDTH * state.point_bytes;
    for (unsigned y = 0; y < CELL_HEIGHT; y++, at += state.pitch_bytes)
        draw_row(at, (unsigned)glyph[y / 2] << 2);
}

static void scroll(unsigned by) {
    for (unsigned row = 0; row < state.rows; row++)
        for (unsigned column = 0; column < state.columns; column++)
            show(row, column, row + by < state.rows ? state.shown[row + by][column] : ' ');
    state.row -= by;
}

static void next_row(void) {
    state.column = 0;
    state.row++;
    if (state.row == state.rows)
        scroll(state.rows / 4 + 1);
}

static void put_printable(char character) {
    show(state.row, state.column, character);
    state.column++;
    if (state.column == state.columns)
        next_row();
}

void screen_put(char character) {
    if (state.points == NULL)
        return;
    if (character == '\n')
        next_row();
    else if (character == '\r')
        state.column = 0;
    else if (character == '\b')
        state.column -= state.column > 0;
    else if (character == '\t')
        do
            put_printable(' ');
        while (state.column % TAB != 0);
    else
        put_printable(character >= ' ' && character <= '~' ? character : '?');
}

static unsigned smaller(unsigned a, unsigned b) {
    return a < b ? a : b;
}

bool screen_start(const struct boot_framebuffer *f) {
    uint8_t *points = io_map(f->first_byte, (size_t)f->pitch_bytes * f->height, PAGE_WRITE_COMBINING);
    if (points == NULL || f->width < CELL_WIDTH || f->height < CELL_HEIGHT)
        return false;
    memset(points, 0, (size_t)f->pitch_bytes * f->height);
    memset(state.shown, ' ', sizeof(state.shown));
    state.pitch_bytes = f->pitch_bytes;
    state.colour = 0xd0u << f->red_shift | 0xd0u << f->green_shift | 0xd0u << f->blue_shift;
    state.point_bytes = f->bits / 8u;
    state.columns = smaller(f->width / CELL_WIDTH, COLUMNS_MAX);
    state.rows = smaller(f->height / CELL_HEIGHT, ROWS_MAX);
    state.points = points;
    return true;
}
